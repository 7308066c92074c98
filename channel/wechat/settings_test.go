package wechat_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/tasks"
)

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	long := strings.Repeat("a", 65)
	channeltest.CheckWrongSettings(t, []channeltest.WrongSetting{
		{"mch_id", nil, "mch_id"},
		{"mch_id", 1900000109, "mch_id"},
		{"mch_id", "19 00", "mch_id"},
		{"mch_id", `19"00`, "mch_id"}, // it is quoted in a header
		{"mch_id", long, "mch_id"},
		{"app_id", "", "app_id"},
		{"merchant_serial", nil, "merchant_serial"},
		{"merchant_key_file", nil, "merchant_key_file"},
		{"merchant_key_file", "no.pem", "merchant_key_file"},
		{"merchant_key_file", "../no.pem", "merchant_key_file"},
		{"merchant_key_file", "/etc/hostname", "merchant_key_file"},
		{"merchant_key_file", "pub_key.pem", "merchant_key_file"},
		{"merchant_key_file", "empty.pem", "merchant_key_file"},
		{"merchant_key_file", "elliptic.pem", "merchant_key_file"},
		{"api_v3_key", nil, "api_v3_key"},
		{"api_v3_key", "testMchAPIv3Key0", "api_v3_key"}, // AES-128
		{"api_v3_key", apiV3Key + "x", "api_v3_key"},
		{"api_v3_key_file", "key.txt", "api_v3_key"}, // beside api_v3_key
		{"platform_certificates", "wechatpay_cert.pem", "platform_certificates"},
		{"platform_certificates", []any{"pub_key.pem"}, "platform_certificates[0]"},
		{"platform_certificates", []any{"wechatpay_cert.pem", "empty.pem"}, "platform_certificates[1]"},
		{"platform_certificates", []any{"wechatpay_cert.pem", "imposter.pem"}, "platform_certificates[1]"},
		{"platform_certificates", []any{1}, "platform_certificates[0]"},
		{"public_keys", map[string]any{}, "public_keys"},
		{"public_keys", []any{"pub_key.pem"}, "public_keys[0]"},
		{"public_keys", []any{map[string]any{"id": publicID, "file": "pub_key.pem", "use": "yes"}}, "public_keys[0]"},
		{"public_keys", []any{map[string]any{"id": "5157F09E", "file": "pub_key.pem"}}, "public_keys[0].id"},
		{"public_keys", []any{map[string]any{"id": publicID, "file": "apiclient_key.pem"}}, "public_keys[0].file"},
		{"base_url", nil, "base_url"},
		{"base_url", "api.mch.weixin.qq.com", "base_url"},
		{"base_url", "ftp://api.mch.weixin.qq.com", "base_url"},
		{"base_url", "https://user:secret@api.mch.weixin.qq.com", "base_url"},
		{"base_url", "https://api.mch.weixin.qq.com?x=1", "base_url"},
		{"notify_url", "nowhere", "notify_url"},
		{"notify_url", 1, "notify_url"},
		{"Mch_id", "1", `"Mch_id"`},
		{"api_key", apiV3Key, `"api_key"`},
	}, p.secrets(), func(dir string, changes map[string]any) error {
		settings := p.settingsIn(t, dir, changes)
		writeOddFiles(t, dir)
		_, err := wechat.Load(dir, settings, http.DefaultClient)
		return err
	})
}

func TestSettingsThatAreIncompleteAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for _, settings := range []string{"", "[]", `{"mch_id":"1","mch_id":"2"}`, "{} {}"} {
		var bad *tasks.FieldError
		if _, err := wechat.Load(t.TempDir(), []byte(settings), http.DefaultClient); !errors.As(err, &bad) || bad.Field != "settings" {
			t.Errorf("settings %s: %v", settings, err)
		}
	}
	if _, err := wechat.Load(t.TempDir(), p.settingsIn(t, t.TempDir(), nil), nil); err == nil {
		t.Error("there is no client, and nobody minds")
	}
	if _, err := wechat.Load(t.TempDir(), p.settingsIn(t, t.TempDir(), map[string]any{"platform_certificates": nil, "public_keys": nil}),
		http.DefaultClient); err == nil {
		t.Error("there is no key to verify with, and nobody minds")
	}
}

// writeOddFiles writes what the settings may not name.
func writeOddFiles(t *testing.T, dir string) {
	t.Helper()
	channeltest.Write(t, dir, "empty.pem", nil)
	channeltest.Write(t, dir, "key.txt", []byte(apiV3Key))
	channeltest.WritePEM(t, dir, "elliptic.pem", "PRIVATE KEY", channeltest.PKCS8(t, channeltest.NewElliptic(t)))
	channeltest.WritePEM(t, dir, "imposter.pem", "CERTIFICATE", selfSigned(thePlatform().public, certain, noon, noon))
}

// secrets are the merchant's keys as a text could show them.
func (p *platform) secrets() []string {
	return append(channeltest.Secrets(p.merchant), apiV3Key, base64.StdEncoding.EncodeToString([]byte(apiV3Key)), fmt.Sprint([]byte(apiV3Key)))
}

func TestKeysArePrintedByNoVerb(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	channeltest.CheckPrinting(t, c, mchID, append(p.secrets(), "merchantKey"))
}

func TestKeysMayComeInFilesAndInOlderForms(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"api_v3_key": nil, "api_v3_key_file": "api_v3_key.txt", "public_keys": nil,
		"merchant_key_file": "pkcs1.pem", "notify_url": "https://shop.invalid/v1/notices/wechat", "base_url": "https://wechat.invalid/"})
	channeltest.Write(t, dir, "api_v3_key.txt", []byte(apiV3Key+"\r\n"))
	channeltest.WritePEM(t, dir, "pkcs1.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.merchant))
	c, err := wechat.Load(dir, settings, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	if _, err := c.ReadNotice(p.sign(t, body, noon, p.serial()), body, noon); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadNotice(p.sign(t, body, noon, publicID), body, noon); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("signed with a public key that is not configured: %v", err)
	}
}

// A merchant that has only just applied for a public key gets notices by both.
func TestEitherKindOfKeyIsEnough(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for name, serial := range map[string]string{"platform_certificates": publicID, "public_keys": p.serial()} {
		c := p.load(t, map[string]any{name: nil})
		if _, err := c.ReadNotice(p.sign(t, body, noon, serial), body, noon); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestCertificatesOfOneFileAndOfOddSerialNumbersAreFound(t *testing.T) {
	t.Parallel()
	p := *thePlatform()
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"platform_certificates": []string{"both.pem"}, "public_keys": nil})
	odd := big.NewInt(0xABC)
	channeltest.WritePEM(t, dir, "both.pem", "CERTIFICATE", p.certificate,
		selfSigned(p.certified, odd, noon.Add(-time.Hour), noon.Add(time.Hour)))
	c, err := wechat.Load(dir, settings, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for _, serial := range []string{p.serial(), "ABC", "0ABC"} {
		if _, err := c.ReadNotice(p.sign(t, body, noon, serial), body, noon); err != nil {
			t.Errorf("serial %s: %v", serial, err)
		}
	}
}
