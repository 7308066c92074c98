package wechatsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// The one merchant.
const (
	MerchantID = "1900009191"
	AppID      = "wx8888888888888888"
)

var _ simulate.KeyedDialect = (*Channel)(nil)

// Channel is a simulated WeChat Pay with one merchant. Its methods may be called at the same time.
type Channel struct {
	clock          clock.Clock
	apiV3Key       string
	merchantKey    *rsa.PrivateKey
	merchantSerial string

	mu      sync.RWMutex
	keys    []signingKey // of both kinds, from the oldest to the newest
	signing Signing
}

// New makes a simulated WeChat Pay and its keys. The clock dates its certificates and the signatures of its answers, and judges the age
// of requests.
func New(clock clock.Clock) (*Channel, error) {
	merchantKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("make the merchant's key: %w", err)
	}
	c := &Channel{clock: clock, apiV3Key: (rand.Text() + rand.Text())[:32], merchantKey: merchantKey, merchantSerial: newSerial(),
		signing: ByPublicKey}
	return c, c.Rotate()
}

// Source implements simulate.Dialect.
func (c *Channel) Source() tasks.Source { return tasks.SourceWeChat }

// MerchantSettings implements simulate.Dialect: it writes the merchant's private key, its APIv3 key, and the certificates and public
// keys of WeChat Pay, all that there have been, to files in the directory.
func (c *Channel) MerchantSettings(dir, baseURL string) ([]byte, error) {
	merchantKey, err := x509.MarshalPKCS8PrivateKey(c.merchantKey)
	if err != nil {
		return nil, fmt.Errorf("encode the merchant's key: %w", err)
	}
	files := map[string][]byte{"apiclient_key.pem": encodePEM("PRIVATE KEY", merchantKey), "api_v3_key.txt": []byte(c.apiV3Key + "\n")}
	certificates, publicKeys := []string{}, []map[string]string{}
	c.mu.RLock()
	for i, key := range c.keys {
		if key.certificate != nil {
			name := fmt.Sprintf("wechatpay_cert_%d.pem", i)
			files[name] = encodePEM("CERTIFICATE", key.certificate)
			certificates = append(certificates, name)
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(&key.private.PublicKey)
		if err != nil {
			c.mu.RUnlock()
			return nil, fmt.Errorf("encode public key %s: %w", key.serial, err)
		}
		name := fmt.Sprintf("pub_key_%d.pem", i)
		files[name] = encodePEM("PUBLIC KEY", der)
		publicKeys = append(publicKeys, map[string]string{"id": key.serial, "file": name})
	}
	c.mu.RUnlock()
	for name, content := range files {
		if err := simulate.WriteFile(filepath.Join(dir, name), content); err != nil {
			return nil, fmt.Errorf("write the merchant's files: %w", err)
		}
	}
	return json.MarshalIndent(map[string]any{"mch_id": MerchantID, "app_id": AppID, "merchant_serial": c.merchantSerial,
		"merchant_key_file": "apiclient_key.pem", "api_v3_key_file": "api_v3_key.txt", "platform_certificates": certificates,
		"public_keys": publicKeys, "base_url": baseURL}, "", "  ")
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Acknowledged implements simulate.Dialect: the status decides, whatever the body says.
func (c *Channel) Acknowledged(status int, _ []byte) bool {
	return status >= http.StatusOK && status < http.StatusMultipleChoices
}

// Redeliveries implements simulate.Dialect: fifteen in 24 hours and 4 minutes.
func (c *Channel) Redeliveries() []time.Duration {
	return []time.Duration{15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, 6 * time.Hour, 6 * time.Hour}
}

// AnswerWithin implements simulate.Dialect.
func (c *Channel) AnswerWithin() time.Duration { return 5 * time.Second }
