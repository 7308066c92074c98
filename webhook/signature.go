package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Secret signs an endpoint's messages. Its text is whsec_ and base64, as Standard Webhooks has it; it is shown when it is made, and
// nowhere else.
type Secret []byte

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

func newSecret() Secret {
	secret := make(Secret, secretBytes)
	_, _ = rand.Read(secret) // it never fails
	return secret
}

// Reveal is the secret's text for the producer.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s) }

// String hides the secret from logs and errors.
func (s Secret) String() string { return secretPrefix + "…" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and from log handlers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// sign writes the headers of Standard Webhooks: HMAC-SHA256 over id, timestamp and body, once for each secret that counts.
func sign(header http.Header, id string, at time.Time, body []byte, secrets ...Secret) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", timestamp)
	header.Set("Webhook-Signature", strings.Join(signatures, " "))
}
