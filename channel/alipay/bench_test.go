package alipay_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

// BenchmarkReadNotice is a payment's notice verified and read. BenchmarkBareRSAVerification is the
// part of it that nobody can save.
func BenchmarkReadNotice(b *testing.B) {
	p := thePlatform()
	c := p.load(b, map[string]any{"alipay_public_keys": []string{"newer.pem"}})
	body := sign(b, p.newer, payment())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadNotice(nil, body, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareRSAVerification(b *testing.B) {
	p := thePlatform()
	text := signedText(payment())
	raw, err := base64.StdEncoding.DecodeString(signature(b, p.newer, text))
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&p.newer.PublicKey, crypto.SHA256, sum[:], raw); err != nil {
			b.Fatal(err)
		}
	}
}
