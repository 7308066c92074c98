package unionpay_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
)

// BenchmarkReadNotice is a payment's notice and its certificate verified and read. BenchmarkBareRSAVerification is one of the two
// verifications in it that nobody can save.
func BenchmarkReadNotice(b *testing.B) {
	p := thePlatform()
	c := p.load(b, nil)
	body := p.notice(b, payment())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadNotice(nil, body, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareRSAVerification(b *testing.B) {
	p := thePlatform()
	signature, err := base64.StdEncoding.DecodeString(p.signer.signText(b, "x"))
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%x", sha256.Sum256([]byte("x"))))
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&p.signer.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
