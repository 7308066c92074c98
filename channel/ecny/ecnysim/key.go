package ecnysim

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"
)

// signerID is the user id of both sides' signatures.
const signerID = "1234567812345678"

// message is the fields of what either side sends, by name.
type message map[string]string

// text is what is signed.
func (m message) text() []byte {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name != "sign" {
			parts = append(parts, name+"="+m[name])
		}
	}
	return []byte(strings.Join(parts, "&"))
}

// sign completes a message of the bank.
func (m message) sign(key *sm2.PrivateKey) error {
	m["version"], m["encoding"], m["signMethod"] = "0.0.1", "UTF-8", "02"
	der, err := key.Sign(rand.Reader, m.text(), sm2.NewSM2SignerOption(true, []byte(signerID)))
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	padded, err := pad(der)
	if err != nil {
		return err
	}
	m["sign"] = base64.StdEncoding.EncodeToString(padded)
	return nil
}

// pad writes a signature as the bank does: each number in 33 bytes, of which the first is zero.
func pad(der []byte) ([]byte, error) {
	var numbers struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &numbers); err != nil || len(rest) > 0 {
		return nil, errors.New("signature is not two numbers in DER")
	}
	padded := []byte{0x30, 70}
	for _, number := range []*big.Int{numbers.R, numbers.S} {
		padded = append(padded, 0x02, 33)
		padded = append(padded, number.FillBytes(make([]byte, 33))...)
	}
	return padded, nil
}

// verified checks the signature of a merchant's message.
func (m message) verified(key *ecdsa.PublicKey) bool {
	der, err := base64.StdEncoding.DecodeString(m["sign"])
	return err == nil && m["version"] == "0.0.1" && m["encoding"] == "UTF-8" && m["signMethod"] == "02" &&
		sm2.VerifyASN1WithSM2(key, []byte(signerID), m.text(), der)
}
