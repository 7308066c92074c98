package ecnysim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// The one merchant.
const (
	MerchantID = "308999170120FWX"
	UserID     = "N003525987"
	AppID      = "5ab5c5b2-6d4c-4a36-9c0c-8b5f3a1d7e42"
)

var _ simulate.KeyedDialect = (*Channel)(nil)

// Channel is a simulated bank with one merchant. Its methods may be called at the same time.
type Channel struct {
	clock       clock.Clock
	merchantKey *sm2.PrivateKey
	appSecret   string

	mu   sync.RWMutex
	keys []*sm2.PrivateKey // of the bank: the newest, which signs, is last
}

// keysMax is how many of its keys the bank gives out: that which signs, and those before it which may have signed what is on its way.
const keysMax = 2

// New makes a simulated bank and its keys. The clock judges the age of requests.
func New(clock clock.Clock) (*Channel, error) {
	merchantKey, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the merchant's key: %w", err)
	}
	c := &Channel{clock: clock, merchantKey: merchantKey, appSecret: rand.Text()}
	return c, c.Rotate()
}

// Rotate implements simulate.KeyedDialect: it makes a new key of the bank.
func (c *Channel) Rotate() error {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the bank's key: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, key)
	return nil
}

// signer is the key that signs now.
func (c *Channel) signer() *sm2.PrivateKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keys[len(c.keys)-1]
}

// Source implements simulate.Dialect.
func (c *Channel) Source() tasks.Source { return tasks.SourceECNY }

// MerchantSettings implements simulate.Dialect: it writes the merchant's private key in hexadecimal, its secret, and the bank's last two
// public keys in base64, as banks give them out.
func (c *Channel) MerchantSettings(dir, baseURL string) ([]byte, error) {
	files := map[string]string{"merchant_key.txt": hex.EncodeToString(rawKey(c.merchantKey)),
		"app_secret.txt": c.appSecret}
	c.mu.RLock()
	first := max(0, len(c.keys)-keysMax)
	keys := c.keys[first:]
	c.mu.RUnlock()
	var names []string
	for i, key := range keys {
		der, err := smx509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("encode the bank's key: %w", err)
		}
		name := fmt.Sprintf("bank_key_%d.txt", first+i)
		files[name] = base64.StdEncoding.EncodeToString(der)
		names = append(names, name)
	}
	for name, content := range files {
		if err := simulate.WriteFile(filepath.Join(dir, name), []byte(content+"\n")); err != nil {
			return nil, fmt.Errorf("write the merchant's files: %w", err)
		}
	}
	return json.MarshalIndent(map[string]any{"mer_id": MerchantID, "user_id": UserID, "app_id": AppID, "app_secret_file": "app_secret.txt",
		"merchant_key_file": "merchant_key.txt", "bank_public_keys": names, "base_url": baseURL}, "", "  ")
}

// Acknowledged implements simulate.Dialect: returnCode and respCode are both SUCCESS, and the merchant has signed it.
func (c *Channel) Acknowledged(status int, body []byte) bool {
	var answer message
	return status == http.StatusOK && json.Unmarshal(body, &answer) == nil && answer["returnCode"] == "SUCCESS" &&
		answer["respCode"] == "SUCCESS" && answer.verified(&c.merchantKey.PublicKey)
}

// Redeliveries implements simulate.Dialect: fifteen in 24 hours and 4 minutes, as of version 3.4.1 of the bank's document. Version 3.3.5
// has nine within three hours.
func (c *Channel) Redeliveries() []time.Duration {
	return []time.Duration{15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, 6 * time.Hour, 6 * time.Hour}
}

// AnswerWithin implements simulate.Dialect. The bank's document does not say; it is assumed to be as impatient as WeChat Pay.
func (c *Channel) AnswerWithin() time.Duration { return 5 * time.Second }
