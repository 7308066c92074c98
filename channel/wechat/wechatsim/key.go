package wechatsim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	rsaBits          = 2048
	signatureScheme  = "WECHATPAY2-SHA256-RSA2048"
	certificateYears = 5 // as real ones
)

// Signing says with which kind of key WeChat Pay signs.
type Signing string

// The kinds.
const (
	ByCertificate Signing = "certificate"
	ByPublicKey   Signing = "public_key"
)

// signingKey is a key of WeChat Pay.
type signingKey struct {
	private     *rsa.PrivateKey
	serial      string // of the certificate, or the public key's id
	certificate []byte // nil: it is a public key
}

// SignWith switches the kind of key of the messages to come.
func (c *Channel) SignWith(signing Signing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signing = signing
}

// Rotate makes a new platform certificate and a new public key, with which messages are signed from now on.
func (c *Channel) Rotate() error {
	certified, err := c.newCertificate()
	if err != nil {
		return err
	}
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return fmt.Errorf("make a public key: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fmt.Sprintf("PUB_KEY_ID_01%s%s%06d", MerchantID, c.clock.Now().UTC().Format("20060102"), len(c.keys))
	c.keys = append(c.keys, certified, signingKey{private: private, serial: id})
	return nil
}

func (c *Channel) newCertificate() (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a platform certificate's key: %w", err)
	}
	serial, _ := new(big.Int).SetString(newSerial(), 16)
	now := c.clock.Now()
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0),
		Subject: pkix.Name{CommonName: "Tenpay.com sign", Organization: []string{"Simulated"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a platform certificate: %w", err)
	}
	return signingKey{private: private, serial: fmt.Sprintf("%X", serial), certificate: der}, nil
}

// newSerial is a random serial number of 40 hexadecimal digits, positive in a certificate's encoding of 20 bytes.
func newSerial() string {
	var raw [20]byte
	_, _ = rand.Read(raw[:]) // it never fails
	raw[0] = raw[0]&0x3f | 0x40
	return fmt.Sprintf("%X", raw)
}

// signer is the key that signs now: the wanted one, or the newest of the kind.
func (c *Channel) signer(wanted string) signingKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var newest signingKey
	for _, key := range c.keys {
		if key.serial == wanted {
			return key
		}
		if (key.certificate != nil) == (c.signing == ByCertificate) {
			newest = key
		}
	}
	return newest
}

// sign adds the headers of a signed message.
func (k signingKey) sign(header http.Header, body []byte, at time.Time) error {
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), rand.Text()
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum(timestamp, nonce, string(body)))
	if err != nil {
		return fmt.Errorf("sign with %s: %w", k.serial, err)
	}
	header.Set("Wechatpay-Timestamp", timestamp)
	header.Set("Wechatpay-Nonce", nonce)
	header.Set("Wechatpay-Serial", k.serial)
	header.Set("Wechatpay-Signature", base64.StdEncoding.EncodeToString(signature))
	header.Set("Wechatpay-Signature-Type", signatureScheme)
	return nil
}

// sum hashes lines, each of which ends with a newline.
func sum(lines ...string) []byte {
	hash := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return hash[:]
}
