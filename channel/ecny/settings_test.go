package ecny_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/ecny"
	"github.com/settled-dev/settled/tasks"
)

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	b := theBank()
	for _, c := range []struct {
		field string
		value any
		want  string // the field that is named
	}{
		{"mer_id", nil, "mer_id"},
		{"mer_id", "30 89", "mer_id"},
		{"user_id", nil, "user_id"},
		{"user_id", 1, "user_id"},
		{"app_id", "", "app_id"},
		{"app_secret", nil, "app_secret"},
		{"app_secret", "", "app_secret"},
		{"app_secret", "a&sign=b", "app_secret"},
		{"app_secret", "a b", "app_secret"},
		{"app_secret", strings.Repeat("a", 129), "app_secret"},
		{"app_secret_file", "secret.txt", "app_secret"}, // beside app_secret
		{"merchant_key_file", nil, "merchant_key_file"},
		{"merchant_key_file", "no.pem", "merchant_key_file"},
		{"merchant_key_file", "../merchant_key.txt", "merchant_key_file"},
		{"merchant_key_file", "bank_old.pem", "merchant_key_file"},
		{"merchant_key_file", "empty.txt", "merchant_key_file"},
		{"merchant_key_file", "zero.txt", "merchant_key_file"},
		{"merchant_key_file", "order.txt", "merchant_key_file"},
		{"merchant_key_file", "elliptic.pem", "merchant_key_file"},
		{"bank_public_keys", nil, "bank_public_keys"},
		{"bank_public_keys", "bank_old.pem", "bank_public_keys"},
		{"bank_public_keys", []any{}, "bank_public_keys"},
		{"bank_public_keys", []any{"1", "2", "3", "4", "5"}, "bank_public_keys"},
		{"bank_public_keys", []any{1}, "bank_public_keys[0]"},
		{"bank_public_keys", []any{"bank_old.pem", "empty.txt"}, "bank_public_keys[1]"},
		{"bank_public_keys", []any{"bank_old.pem", "bank_old.pem"}, "bank_public_keys[1]"},
		{"bank_public_keys", []any{"merchant_key.txt"}, "bank_public_keys[0]"},
		{"bank_public_keys", []any{"merchant_public.txt"}, "bank_public_keys[0]"}, // our own replies would verify as the bank's answers
		{"bank_public_keys", []any{"elliptic_public.pem"}, "bank_public_keys[0]"},
		{"bank_public_keys", []any{"off_curve.txt"}, "bank_public_keys[0]"},
		{"base_url", nil, "base_url"},
		{"base_url", "api.cmbchina.com", "base_url"},
		{"notify_url", "nowhere", "notify_url"},
		{"api_key", "x", `"api_key"`},
	} {
		dir := t.TempDir()
		settings := b.settingsIn(t, dir, map[string]any{c.field: c.value})
		writeOddFiles(t, dir)
		_, err := ecny.Load(dir, settings, http.DefaultClient)
		var bad *tasks.FieldError
		if !errors.As(err, &bad) || bad.Field != c.want || bad.Problem == "" || bad.Allowed == "" {
			t.Errorf("%s %v: %v, want an error of %s", c.field, c.value, err, c.want)
		} else if hasSecret(err.Error()) {
			t.Errorf("%s %v: the error shows a key: %v", c.field, c.value, err)
		}
	}
	if _, err := ecny.Load(t.TempDir(), b.settingsIn(t, t.TempDir(), nil), nil); err == nil {
		t.Error("there is no client, and nobody minds")
	}
}

// writeOddFiles writes what the settings may not name.
func writeOddFiles(t *testing.T, dir string) {
	t.Helper()
	write(t, dir, "empty.txt", "")
	write(t, dir, "secret.txt", appSecret)
	write(t, dir, "zero.txt", strings.Repeat("0", 64))
	write(t, dir, "order.txt", "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123")
	write(t, dir, "merchant_public.txt", base64.StdEncoding.EncodeToString(publicDER(t, theBank().merchant)))
	off := publicDER(t, theBank().old)
	off[len(off)-1] ^= 1
	write(t, dir, "off_curve.txt", base64.StdEncoding.EncodeToString(off))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "elliptic.pem", inPEM("PRIVATE KEY", der))
	if der, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "elliptic_public.pem", inPEM("PUBLIC KEY", der))
}

// hasSecret looks for the merchant's key and secret in a text.
func hasSecret(text string) bool {
	d := theBank().merchant.D
	for _, secret := range []string{appSecret, "hunter2", "PRIVATE KEY", d.String(), d.Text(16), strings.ToUpper(d.Text(16)), fmt.Sprint(d.Bytes())} {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

func TestKeysArePrintedByNoVerb(t *testing.T) {
	t.Parallel()
	c := theBank().load(t, nil)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "channel", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "channel", c)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(encoded), log.String(), fmt.Sprintf("%+v", struct{ C *ecny.Channel }{c})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, *c))
	}
	for _, text := range texts {
		if hasSecret(text) || strings.Contains(text, "merchantKey") || !strings.Contains(text, merID) {
			t.Errorf("shown: %.200s", text)
		}
	}
}

func TestKeysMayComeInEachOfTheirForms(t *testing.T) {
	t.Parallel()
	b := theBank()
	pkcs8, err := smx509.MarshalPKCS8PrivateKey(b.merchant)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := smx509.MarshalSM2PrivateKey(b.merchant)
	if err != nil {
		t.Fatal(err)
	}
	for name, private := range map[string]string{"hexadecimal": privateHex(b.merchant), "in capitals": strings.ToUpper(privateHex(b.merchant)) + "\n",
		"PKCS #8": inPEM("PRIVATE KEY", pkcs8), "SEC 1": inPEM("EC PRIVATE KEY", sec1)} {
		dir := t.TempDir()
		settings := b.settingsIn(t, dir, map[string]any{"merchant_key_file": "key", "app_secret": nil, "app_secret_file": "secret.txt"})
		write(t, dir, "key", private)
		write(t, dir, "secret.txt", appSecret+"\r\n")
		c, err := ecny.Load(dir, settings, http.DefaultClient)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reply := c.Reply(nil, noon); reply.Status != 200 {
			t.Errorf("%s: reply %+v", name, reply)
		}
	}
	if _, err := hex.DecodeString(privateHex(b.merchant)); err != nil {
		t.Error(err)
	}
}

func TestKeysThatAreNotConfiguredCountForNothing(t *testing.T) {
	t.Parallel()
	b := theBank()
	body := b.notice(t, payment())
	for name, c := range map[string]struct {
		files []any
		want  error
	}{
		"before the change": {[]any{"bank_old.pem"}, channel.ErrNotGenuine},
		"during it":         {[]any{"bank_current.txt", "bank_old.pem"}, nil},
		"after it":          {[]any{"bank_current.txt"}, nil},
	} {
		loaded := b.load(t, map[string]any{"bank_public_keys": c.files})
		if _, err := loaded.ReadNotice(nil, body, noon); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
