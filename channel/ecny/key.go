package ecny

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/settled-dev/settled/channel"
)

const (
	// signerID is the user id that SM2 signatures cover: the one that GM/T 0009 gives to all who have none of their own.
	signerID = "1234567812345678"
	// numberBytes are those of each of the two numbers of a signature, and of a private key.
	numberBytes = 32
	// signatureBytesMax is two numbers with all that DER puts around them.
	signatureBytesMax = 72
)

// bankKeys are all keys that may have signed. A message does not name its key, so each is tried: a bank has one, or two while it
// changes.
type bankKeys []*ecdsa.PublicKey

// verify checks a signature over a text. It returns channel.ErrNotGenuine, wrapped.
func (k bankKeys) verify(text []byte, signature string) error {
	der, err := decodeSignature(signature)
	if err != nil {
		return fmt.Errorf("%w: %w", channel.ErrNotGenuine, err)
	}
	for _, key := range k {
		if sm2.VerifyASN1WithSM2(key, []byte(signerID), text, der) {
			return nil
		}
	}
	return fmt.Errorf("%w: signature is by none of the %d keys", channel.ErrNotGenuine, len(k))
}

// decodeSignature turns base64 of a signature into its shortest DER form, the only one that is verified. The bank's own is longer: it
// begins both numbers with zero bytes, needed or not (E3).
func decodeSignature(signature string) ([]byte, error) {
	encoding := base64.StdEncoding.Strict()
	if len(signature) > encoding.EncodedLen(signatureBytesMax) || strings.ContainsAny(signature, "\r\n") { // which the decoder drops
		return nil, errors.New("signature is not base64 of an SM2 signature")
	}
	raw, err := encoding.DecodeString(signature)
	if err != nil {
		return nil, errors.New("signature is not base64 of an SM2 signature")
	}
	if len(raw) < 2 || raw[0] != 0x30 || int(raw[1]) != len(raw)-2 { // a sequence of fewer than 128 bytes
		return nil, errors.New("signature is not two numbers in DER")
	}
	r, rest, rFound := cutNumber(raw[2:])
	s, rest, sFound := cutNumber(rest)
	if !rFound || !sFound || len(rest) > 0 {
		return nil, errors.New("signature is not two numbers in DER")
	}
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}

// cutNumber reads an integer that is positive, with zero bytes in front or without, in 33 bytes at most.
func cutNumber(der []byte) (number *big.Int, rest []byte, found bool) {
	if len(der) < 3 || der[0] != 0x02 || int(der[1]) > len(der)-2 {
		return nil, nil, false
	}
	content, rest := der[2:2+int(der[1])], der[2+int(der[1]):]
	if len(content) == 0 || len(content) > 1+numberBytes || content[0] >= 0x80 { // that would be negative
		return nil, nil, false
	}
	number = new(big.Int).SetBytes(content)
	return number, rest, number.Sign() > 0 && number.BitLen() <= 8*numberBytes
}

// sign makes the signature of a text.
func sign(key *sm2.PrivateKey, text []byte) (string, error) {
	der, err := key.Sign(rand.Reader, text, sm2.NewSM2SignerOption(true, []byte(signerID)))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

// parsePublicKey reads what a bank gives out: a SubjectPublicKeyInfo in base64, or the same as PEM. Its errors quote nothing of it.
func parsePublicKey(content []byte) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
	if block, _ := pem.Decode(content); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errors.New("is neither PEM nor base64")
	}
	parsed, err := smx509.ParsePKIXPublicKey(der)
	if err != nil || !sm2.IsSM2PublicKey(parsed) {
		return nil, errors.New("has no SM2 public key")
	}
	key, _ := parsed.(*ecdsa.PublicKey) // as IsSM2PublicKey has found
	return key, nil
}

// parsePrivateKey reads a merchant's key: 64 hexadecimal digits, as banks give it out, or PEM of PKCS #8 or SEC 1. Its errors quote
// nothing of it.
func parsePrivateKey(content []byte) (*sm2.PrivateKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		raw, err := hex.DecodeString(strings.TrimSpace(string(content)))
		if err != nil || len(raw) != numberBytes {
			return nil, errors.New("is neither PEM nor 64 hexadecimal digits")
		}
		key, err := sm2.ParseRawPrivateKey(raw)
		if err != nil {
			return nil, errors.New("is no SM2 private key")
		}
		return key, nil
	}
	parsed, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(*sm2.PrivateKey); ok && err == nil {
		return key, nil
	}
	key, err := smx509.ParseSM2PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("has no SM2 private key")
	}
	return key, nil
}
