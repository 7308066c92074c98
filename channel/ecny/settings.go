package ecny

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/internal/clock"
)

// knownSettings are all settings that Load takes, and whether it needs them.
var knownSettings = []settings.Setting{
	{Name: "mer_id", Needed: true},            // the merchant's number at the bank, merId
	{Name: "user_id", Needed: true},           // the cashier in whose name refunds are asked for, userId
	{Name: "app_id", Needed: true},            // of the merchant's app at the bank's gateway
	{Name: "app_secret"},                      // its secret; this or app_secret_file
	{Name: "app_secret_file"},                 // the same in a file
	{Name: "merchant_key_file", Needed: true}, // the merchant's SM2 private key: 64 hexadecimal digits, or PEM
	{Name: "bank_public_keys", Needed: true},  // files of the bank's SM2 public keys, base64 or PEM; several while the bank changes
	{Name: "base_url", Needed: true},          // such as https://api.cmbchina.com
	{Name: "notify_url"},                      // where notices of refunds go, unless it is where those of the payment went
}

// Limits of settings.
const (
	secretBytesMax = 128
	bankKeysMax    = 4 // each costs a verification when a notice is not genuine
)

// Load reads a merchant's settings, a JSON object, and the files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, content []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load e-CNY: there is no HTTP client")
	}
	s := settingsReading{settings.Read(dir, content, knownSettings)}
	c := &Channel{merID: s.ID("mer_id"), userID: s.ID("user_id"), appID: s.ID("app_id"), appSecret: s.appSecret(),
		baseURL: s.URL("base_url", true), notifyURL: s.URL("notify_url", false), client: client, clock: clock.System}
	c.merchantKey = s.merchantKey()
	c.bankKeys = s.bankKeys(c.merchantKey)
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("load e-CNY: %w", err)
	}
	return c, nil
}

// settingsReading reads this channel's settings.
type settingsReading struct{ *settings.Reading }

func (s settingsReading) appSecret() string {
	const allowed = "the secret, in app_secret or in the file that app_secret_file names"
	field := "app_secret"
	secret := s.Text(field, s.Value(field))
	if s.Has("app_secret_file") {
		if secret != "" {
			s.Refuse(field, "is given twice", allowed)
		}
		field = "app_secret_file"
		secret = string(bytes.TrimRight(s.File(field, s.Value(field)), "\r\n"))
	}
	if secret == "" || len(secret) > secretBytesMax || !printable(secret) || strings.Contains(secret, "&") {
		s.Refuse(field, "is empty, too long or has other characters", allowed+": 1 to 128 printable ones, without &")
	}
	return secret
}

func (s settingsReading) merchantKey() *sm2.PrivateKey {
	const field = "merchant_key_file"
	key, err := parsePrivateKey(s.File(field, s.Value(field)))
	if err != nil {
		s.Refuse(field, "names a file that "+err.Error(), "an SM2 private key of 64 hexadecimal digits, or PEM of PKCS #8 or SEC 1")
	}
	return key
}

func (s settingsReading) bankKeys(merchant *sm2.PrivateKey) bankKeys {
	var keys bankKeys
	items := s.List("bank_public_keys")
	if len(items) == 0 || len(items) > bankKeysMax {
		s.Refuse("bank_public_keys", fmt.Sprintf("names %d keys", len(items)), fmt.Sprintf("1 to %d", bankKeysMax))
		return nil
	}
	for i, name := range items {
		field := fmt.Sprintf("bank_public_keys[%d]", i)
		key, err := parsePublicKey(s.File(field, name))
		if err != nil {
			s.Refuse(field, "names a file that "+err.Error(), "an SM2 public key, SubjectPublicKeyInfo in base64 or as PEM")
			return nil
		}
		switch {
		case merchant != nil && key.Equal(&merchant.PublicKey): // else our replies would verify as the bank's answers
			s.Refuse(field, "is the merchant's own key", "the bank's public key")
		case slices.ContainsFunc(keys, func(other *ecdsa.PublicKey) bool { return other.Equal(key) }):
			s.Refuse(field, "is named twice", "each key once")
		}
		keys = append(keys, key)
	}
	return keys
}
