package wechat_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/settled-dev/settled/channel/channeltest"
)

// BenchmarkReadNotice is a payment's notice verified, decrypted and read. BenchmarkBareRSAVerification is the part of it that nobody
// can save.
func BenchmarkReadNotice(b *testing.B) {
	p := thePlatform()
	c := p.load(b, nil)
	body := wrap(b, "TRANSACTION.SUCCESS", channeltest.Encode(b, payment()))
	header := p.sign(b, body, noon, publicID)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadNotice(header, body, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareRSAVerification(b *testing.B) {
	p := thePlatform()
	body := wrap(b, "TRANSACTION.SUCCESS", channeltest.Encode(b, payment()))
	header := p.sign(b, body, noon, publicID)
	signature, err := base64.StdEncoding.DecodeString(header.Get("Wechatpay-Signature"))
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte(header.Get("Wechatpay-Timestamp") + "\n" + header.Get("Wechatpay-Nonce") + "\n" + string(body) + "\n"))
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&p.public.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
