package unionpay

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/settled-dev/settled/channel"
)

// The only version of messages and the only method of signing that is spoken.
const (
	version    = "5.1.0"
	signMethod = "01" // RSA and SHA-256 with a certificate
)

// signatureField carries the signature; it is the one field that is not signed.
const signatureField = "signature"

// digest is what a signature is made over. It is a double hash: SHA-256 of the lower-case hexadecimal SHA-256 of the sorted fields,
// name=value joined with &. A value of no characters is signed as it stands.
func (f fields) digest() []byte {
	inner := sha256.New()
	separator := ""
	for _, field := range f {
		if field.name == signatureField {
			continue
		}
		_, _ = io.WriteString(inner, separator+field.name+"="+field.value) // a hash takes everything
		separator = "&"
	}
	outer := sha256.Sum256([]byte(hex.EncodeToString(inner.Sum(nil))))
	return outer[:]
}

// sign makes the signature of a request with the merchant's key.
func (f fields) sign(key *rsa.PrivateKey) (string, error) {
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, f.digest())
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// verify checks that a message was signed at the time now by a certificate of UnionPay's. It returns channel.ErrNotGenuine, wrapped.
func (s *signers) verify(f fields, now time.Time) error {
	if f.get("version") != version || f.get("signMethod") != signMethod {
		return fmt.Errorf("%w: its version is not %s or its signMethod is not %s", channel.ErrNotGenuine, version, signMethod)
	}
	public, err := s.publicKey(f.get("signPubKeyCert"), now)
	if err != nil {
		return fmt.Errorf("%w: signPubKeyCert %w", channel.ErrNotGenuine, err)
	}
	// The length is checked because the decoder drops newlines, Strict because it ignores the last bits: one signature, one form.
	encoding, text := base64.StdEncoding.Strict(), f.get(signatureField)
	if len(text) != encoding.EncodedLen(public.Size()) {
		return fmt.Errorf("%w: signature has %d characters", channel.ErrNotGenuine, len(text))
	}
	signature, err := encoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%w: signature is not base64", channel.ErrNotGenuine)
	}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, f.digest(), signature); err != nil {
		return fmt.Errorf("%w: %w", channel.ErrNotGenuine, err)
	}
	return nil
}
