package unionpaysim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// message is names and values, as both sides sign them.
type message map[string]string

// text is a message as it is signed and as answers are written: sorted, and nothing encoded.
func (m message) text() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name != "signature" {
			pairs = append(pairs, name+"="+m[name])
		}
	}
	return strings.Join(pairs, "&")
}

// hash is the hash of the hash, as RSA signs it.
func (m message) hash() []byte {
	hexadecimal := fmt.Sprintf("%x", sha256.Sum256([]byte(m.text())))
	outer := sha256.Sum256([]byte(hexadecimal))
	return outer[:]
}

// sign completes a message of UnionPay's with its certificate and signature.
func (c *Channel) sign(m message) error {
	c.mu.RLock()
	signer := c.signer
	c.mu.RUnlock()
	m["version"], m["encoding"], m["signMethod"] = "5.1.0", "UTF-8", "01"
	certificate := strings.TrimSuffix(string(signer.pem()), "\n")
	m["signPubKeyCert"] = strings.ReplaceAll(certificate, "\n", "\r\n")
	signature, err := rsa.SignPKCS1v15(rand.Reader, signer.key, crypto.SHA256, m.hash())
	if err != nil {
		return fmt.Errorf("sign with %s: %w", signer.certificate.SerialNumber, err)
	}
	m["signature"] = base64.StdEncoding.EncodeToString(signature)
	return nil
}

// genuine says whether the merchant has signed a request.
func (c *Channel) genuine(m message) bool {
	signature, err := base64.StdEncoding.DecodeString(m["signature"])
	if err != nil || m["certId"] != c.merchant.certificate.SerialNumber.String() || m["merId"] != MerchantID ||
		m["version"] != "5.1.0" || m["signMethod"] != "01" {
		return false
	}
	return rsa.VerifyPKCS1v15(c.merchantKey(), crypto.SHA256, m.hash(), signature) == nil
}
