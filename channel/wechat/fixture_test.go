package wechat

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/channel/strictjson"
)

// realNotice is a message of the official SDK's own tests, with the certificate that it was signed by.
type realNotice struct {
	Key         string            `json:"apiv3_key"` // 16 bytes, unlike a merchant's
	Headers     map[string]string `json:"headers"`
	Certificate string            `json:"platform_certificate_pem"`
	Body        string            `json:"body"`
	Plaintext   string            `json:"expect_plaintext"`
}

// openRealNotice reads the message from a folder shared/fixtures beside the repository, or skips the test where there is none.
func openRealNotice(t *testing.T) (realNotice, *Channel, http.Header) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "fixtures", "wechatpay-apiv3-notify", "official-sdk-payscore.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no folder shared/fixtures/wechatpay-apiv3-notify beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var sample realNotice
	if err := json.Unmarshal(raw, &sample); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(sample.Certificate))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	s, keys := settingsReading{&settings.Reading{}}, platformKeys{}
	s.addCertificate(keys, "platform_certificates[0]", certificate)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	aead, err := newAEAD([]byte(sample.Key))
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	for name, value := range sample.Headers {
		header.Set(name, value)
	}
	return sample, &Channel{keys: keys, aead: aead}, header
}

func TestRealNoticeIsReadAndDecrypted(t *testing.T) {
	t.Parallel()
	sample, c, header := openRealNotice(t)
	signedAt := time.Unix(1624523846, 0)
	notice, err := c.ReadNotice(header, []byte(sample.Body), signedAt)
	if err != nil || notice.Event != channel.EventOther || notice.ID != "3119dfba-e649-5eec-ab1e-3412bc4d2e17" ||
		!notice.OccurredAt.Equal(signedAt) {
		t.Errorf("%+v, %v", notice, err)
	}
	message, err := strictjson.Parse([]byte(sample.Body))
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := openResource(c.aead, message.Get("resource").Fields)
	if err != nil || string(plaintext) != sample.Plaintext {
		t.Errorf("%q, %v", plaintext, err)
	}
	if _, err := c.ReadNotice(header, []byte(sample.Body), signedAt.Add(301*time.Second)); !errors.Is(err, channel.ErrStale) {
		t.Errorf("five minutes later: %v", err)
	}
	if _, err := c.ReadNotice(header, []byte(sample.Body+" "), signedAt); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("with a space: %v", err)
	}
}
