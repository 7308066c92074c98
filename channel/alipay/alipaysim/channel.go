package alipaysim

import (
	"crypto/x509"
	"encoding/base64"
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

// The one app, and the seller whose it is.
const (
	AppID    = "2021000199999999"
	SellerID = "2088000199999999"
)

var _ simulate.KeyedDialect = (*Channel)(nil)

// Channel is a simulated Alipay with one app. Its methods may be called at the same time.
type Channel struct {
	clock clock.Clock
	root  certifiedKey
	app   certifiedKey

	mu      sync.RWMutex
	keys    []certifiedKey // and bare ones, from the oldest to the newest
	signing Signing
	desk    simulate.Desk // of the last Handler; nil before
}

// New makes a simulated Alipay and its keys. The clock dates its certificates, and judges the age of requests.
func New(clock clock.Clock) (*Channel, error) {
	root, err := newRoot(clock.Now())
	if err != nil {
		return nil, err
	}
	app, err := root.certify("simulated app "+AppID, clock.Now())
	if err != nil {
		return nil, err
	}
	c := &Channel{clock: clock, root: root, app: app, signing: ByPublicKey}
	return c, c.Rotate()
}

// Source implements simulate.Dialect.
func (c *Channel) Source() tasks.Source { return tasks.SourceAlipay }

// MerchantSettings implements simulate.Dialect: it writes the app's private key and certificate, Alipay's root certificate, and Alipay's
// certificates and public keys, all that there have been, to files in the directory. Keys are bare base64, as Alipay's own tool
// writes them.
func (c *Channel) MerchantSettings(dir, baseURL string) ([]byte, error) {
	appKey, err := x509.MarshalPKCS8PrivateKey(c.app.private)
	if err != nil {
		return nil, fmt.Errorf("encode the app's key: %w", err)
	}
	files := map[string][]byte{"app_private_key.txt": bare(appKey), "app_certificate.crt": encodeCertificate(c.app.certificate),
		"alipay_root_certificate.crt": encodeCertificate(c.root.certificate)}
	certificates, publicKeys := []string{}, []string{}
	c.mu.RLock()
	for i, key := range c.keys {
		if key.certificate != nil {
			name := fmt.Sprintf("alipay_certificate_%d.crt", i)
			files[name] = encodeCertificate(key.certificate)
			certificates = append(certificates, name)
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(&key.private.PublicKey)
		if err != nil {
			c.mu.RUnlock()
			return nil, fmt.Errorf("encode a public key: %w", err)
		}
		name := fmt.Sprintf("alipay_public_key_%d.txt", i)
		files[name] = bare(der)
		publicKeys = append(publicKeys, name)
	}
	c.mu.RUnlock()
	for name, content := range files {
		if err := simulate.WriteFile(filepath.Join(dir, name), content); err != nil {
			return nil, fmt.Errorf("write the merchant's files: %w", err)
		}
	}
	return json.MarshalIndent(map[string]any{"app_id": AppID, "seller_id": SellerID, "app_private_key_file": "app_private_key.txt",
		"app_certificate": "app_certificate.crt", "alipay_root_certificate": "alipay_root_certificate.crt",
		"alipay_certificates": certificates, "alipay_public_keys": publicKeys, "gateway_url": baseURL + gatewayPath}, "", "  ")
}

func bare(der []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(der) + "\n") }

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Acknowledged implements simulate.Dialect: the body is success and nothing else.
func (c *Channel) Acknowledged(status int, body []byte) bool {
	return status == http.StatusOK && string(body) == "success"
}

// Redeliveries implements simulate.Dialect: seven in 24 hours and 24 minutes.
func (c *Channel) Redeliveries() []time.Duration {
	return []time.Duration{4 * time.Minute, 10 * time.Minute, 10 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 15 * time.Hour}
}

// AnswerWithin implements simulate.Dialect. Alipay does not document it; it is WeChat Pay's time here.
func (c *Channel) AnswerWithin() time.Duration { return 5 * time.Second }
