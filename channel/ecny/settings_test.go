package ecny_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
)

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	b := theBank()
	channeltest.CheckWrongSettings(t, []channeltest.WrongSetting{
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
	}, secrets(), func(dir string, changes map[string]any) error {
		settings := b.settingsIn(t, dir, changes)
		writeOddFiles(t, dir)
		_, err := ecny.Load(dir, settings, http.DefaultClient)
		return err
	})
	if _, err := ecny.Load(t.TempDir(), b.settingsIn(t, t.TempDir(), nil), nil); err == nil {
		t.Error("there is no client, and nobody minds")
	}
}

// writeOddFiles writes what the settings may not name.
func writeOddFiles(t *testing.T, dir string) {
	t.Helper()
	channeltest.Write(t, dir, "empty.txt", []byte(""))
	channeltest.Write(t, dir, "secret.txt", []byte(appSecret))
	channeltest.Write(t, dir, "zero.txt", []byte(strings.Repeat("0", 64)))
	channeltest.Write(t, dir, "order.txt", []byte("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123"))
	channeltest.Write(t, dir, "merchant_public.txt", []byte(base64.StdEncoding.EncodeToString(publicDER(t, theBank().merchant))))
	off := publicDER(t, theBank().old)
	off[len(off)-1] ^= 1
	channeltest.Write(t, dir, "off_curve.txt", []byte(base64.StdEncoding.EncodeToString(off)))
	key := channeltest.NewElliptic(t)
	channeltest.WritePEM(t, dir, "elliptic.pem", "PRIVATE KEY", channeltest.PKCS8(t, key))
	channeltest.WritePEM(t, dir, "elliptic_public.pem", "PUBLIC KEY", channeltest.PKIX(t, &key.PublicKey))
}

// secrets are the merchant's key and secret as a text could show them.
func secrets() []string {
	d := theBank().merchant.D
	return []string{appSecret, "hunter2", "PRIVATE KEY", d.String(), d.Text(16), strings.ToUpper(d.Text(16)), fmt.Sprint(d.Bytes())}
}

func TestKeysArePrintedByNoVerb(t *testing.T) {
	t.Parallel()
	c := theBank().load(t, nil)
	channeltest.CheckPrinting(t, c, merID, append(secrets(), "merchantKey"))
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
		"PKCS #8": string(channeltest.PEM("PRIVATE KEY", pkcs8)), "SEC 1": string(channeltest.PEM("EC PRIVATE KEY", sec1))} {
		dir := t.TempDir()
		settings := b.settingsIn(t, dir, map[string]any{"merchant_key_file": "key", "app_secret": nil, "app_secret_file": "secret.txt"})
		channeltest.Write(t, dir, "key", []byte(private))
		channeltest.Write(t, dir, "secret.txt", []byte(appSecret+"\r\n"))
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
