package ecny_test

import (
	"encoding/base64"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel/channeltest"
)

// BenchmarkReadNotice is a payment's notice verified and read. BenchmarkBareSM2Verification is the part of it that nobody can save.
func BenchmarkReadNotice(b *testing.B) {
	c := theBank().load(b, map[string]any{"bank_public_keys": []string{"bank_current.txt"}})
	body := theBank().notice(b, payment())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadNotice(nil, body, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSM2Verification(b *testing.B) {
	key := &theBank().current.PublicKey
	fields := sign(b, envelope(channeltest.Encode(b, payment())), theBank().current)
	signature, err := base64.StdEncoding.DecodeString(fields["sign"])
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(signedText(fields))
	b.ReportAllocs()
	for b.Loop() {
		if !sm2.VerifyASN1WithSM2(key, nil, text, signature) {
			b.Fatal("refused")
		}
	}
}
