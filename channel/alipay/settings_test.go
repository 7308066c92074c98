package alipay_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/tasks"
)

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	long := strings.Repeat("a", 65)
	channeltest.CheckWrongSettings(t, []channeltest.WrongSetting{
		{"app_id", nil, "app_id"},
		{"app_id", 2021003194664455, "app_id"},
		{"app_id", "2021 0031", "app_id"},
		{"app_id", long, "app_id"},
		{"seller_id", nil, "seller_id"},
		{"seller_id", "", "seller_id"},
		{"app_private_key_file", nil, "app_private_key_file"},
		{"app_private_key_file", []string{"app.txt"}, "app_private_key_file"},
		{"app_private_key_file", "no.pem", "app_private_key_file"},
		{"app_private_key_file", "../no.pem", "app_private_key_file"},
		{"app_private_key_file", "/etc/hostname", "app_private_key_file"},
		{"app_private_key_file", "older.txt", "app_private_key_file"},
		{"app_private_key_file", "empty.txt", "app_private_key_file"},
		{"app_private_key_file", "elliptic.pem", "app_private_key_file"},
		{"app_private_key_file", "short.txt", "app_private_key_file"},
		{"alipay_public_keys", "older.txt", "alipay_public_keys"},
		{"alipay_public_keys", true, "alipay_public_keys"},
		{"alipay_public_keys", []any{1}, "alipay_public_keys[0]"},
		{"alipay_public_keys", []any{"older.txt", nil}, "alipay_public_keys[1]"},
		{"alipay_public_keys", []any{"older.txt", "app.txt"}, "alipay_public_keys[1]"},
		{"alipay_public_keys", []any{"alipay.crt"}, "alipay_public_keys[0]"},
		{"alipay_public_keys", []any{"short_public.txt"}, "alipay_public_keys[0]"},
		{"alipay_certificates", []any{"older.txt"}, "alipay_certificates[0]"},
		{"alipay_certificates", []any{"elliptic.crt"}, "alipay_certificates[0]"},
		{"alipay_certificates", nil, "app_certificate"},
		{"app_certificate", nil, "app_certificate"},
		{"app_certificate", "alipay.crt", "app_certificate"}, // another key's
		{"app_certificate", "empty.txt", "app_certificate"},
		{"alipay_root_certificate", nil, "alipay_root_certificate"},
		{"alipay_root_certificate", "elliptic.crt", "alipay_root_certificate"},
		{"gateway_url", nil, "gateway_url"},
		{"gateway_url", "openapi.alipay.com", "gateway_url"},
		{"gateway_url", "ftp://openapi.alipay.com", "gateway_url"},
		{"gateway_url", "https://user:secret@openapi.alipay.com", "gateway_url"},
		{"gateway_url", "https://openapi.alipay.com/gateway.do?charset=utf-8", "gateway_url"},
		{"App_id", "1", `"App_id"`},
		{"app_private_key", base64.StdEncoding.EncodeToString(channeltest.PKCS8(t, p.app)), `"app_private_key"`},
	}, append(secrets(), "secret@"), func(dir string, changes map[string]any) error {
		settings := p.settingsIn(t, dir, changes)
		writeOddFiles(t, dir)
		_, err := alipay.Load(dir, settings, http.DefaultClient)
		return err
	})
}

func TestSettingsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for _, settings := range []string{"", "[]", "null", `{"app_id":"1","app_id":"2"}`, "{} {}", "{", `{"app_id"}`, `{"a":"` + "\xff" + `"}`} {
		var bad *tasks.FieldError
		if _, err := alipay.Load(t.TempDir(), []byte(settings), http.DefaultClient); !errors.As(err, &bad) || bad.Field != "settings" {
			t.Errorf("settings %s: %v", settings, err)
		}
	}
	if _, err := alipay.Load(t.TempDir(), p.settingsIn(t, t.TempDir(), nil), nil); err == nil {
		t.Error("there is no client, and nobody minds")
	}
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"alipay_public_keys": []string{}, "alipay_certificates": []string{}})
	if _, err := alipay.Load(dir, settings, http.DefaultClient); err == nil {
		t.Error("there is no key to verify with, and nobody minds")
	}
}

// writeOddFiles writes what the settings may not name.
func writeOddFiles(t *testing.T, dir string) {
	t.Helper()
	writeBare(t, dir, "empty.txt", nil)
	elliptic := channeltest.NewElliptic(t)
	channeltest.WritePEM(t, dir, "elliptic.pem", "PRIVATE KEY", channeltest.PKCS8(t, elliptic))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon, NotAfter: noon}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &elliptic.PublicKey, elliptic)
	if err != nil {
		t.Fatal(err)
	}
	channeltest.WritePEM(t, dir, "elliptic.crt", "CERTIFICATE", der)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	writeBare(t, dir, "short.txt", channeltest.PKCS8(t, short))
	writeBare(t, dir, "short_public.txt", channeltest.PKIX(t, &short.PublicKey))
}

// secrets are the app's key as a text could show it.
func secrets() []string { return channeltest.Secrets(thePlatform().app) }

func TestKeysArePrintedByNoVerb(t *testing.T) {
	t.Parallel()
	c := thePlatform().load(t, nil)
	channeltest.CheckPrinting(t, c, appID, append(secrets(), "appKey"))
}

func TestKeysMayComeInOlderForms(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"app_private_key_file": "pkcs1.pem", "alipay_public_keys": []string{"wrapped.txt"},
		"alipay_certificates": nil, "app_certificate": nil, "alipay_root_certificate": nil})
	channeltest.WritePEM(t, dir, "pkcs1.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.app))
	writeWrapped(t, dir, "wrapped.txt", channeltest.PKIX(t, &p.newer.PublicKey))
	c, err := alipay.Load(dir, settings, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadNotice(nil, sign(t, p.newer, payment()), noon); err != nil || got != paid() {
		t.Errorf("%+v, %v", got, err)
	}
	refused(t, c, "by a key that is not configured", sign(t, p.older, payment()), channel.ErrNotGenuine)
	refused(t, c, "by a certificate that is not configured", sign(t, p.certified, payment()), channel.ErrNotGenuine)
}

// An app that changes over to certificates, or back, has keys of either kind for a time, and before and after of one.
func TestEitherKindOfKeyIsEnough(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	bare := p.load(t, map[string]any{"alipay_certificates": nil, "app_certificate": nil, "alipay_root_certificate": nil})
	certified := p.load(t, map[string]any{"alipay_public_keys": nil})
	named := with(payment(), "alipay_cert_sn", certificateSN)
	if got, err := bare.ReadNotice(nil, sign(t, p.older, payment()), noon); err != nil || got != paid() {
		t.Errorf("public keys alone: %+v, %v", got, err)
	}
	if got, err := certified.ReadNotice(nil, sign(t, p.certified, named), noon); err != nil || got != paid() {
		t.Errorf("certificates alone: %+v, %v", got, err)
	}
	refused(t, bare, "a certificate's", sign(t, p.certified, named), channel.ErrNotGenuine)
	refused(t, certified, "a bare key's", sign(t, p.older, payment()), channel.ErrNotGenuine)
}
