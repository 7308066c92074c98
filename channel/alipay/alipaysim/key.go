package alipaysim

import (
	"crypto"
	"crypto/md5" // certificates are named by it; it protects nothing
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

const (
	rsaBits          = 2048
	certificateYears = 5
)

// Signing says with which kind of key Alipay signs.
type Signing string

// The kinds.
const (
	ByCertificate Signing = "certificate"
	ByPublicKey   Signing = "public_key"
)

// certifiedKey is a key with its certificate, or a bare one without.
type certifiedKey struct {
	private     *rsa.PrivateKey
	certificate []byte // nil: it is bare
	serial      string // what the certificate is called in alipay_cert_sn, app_cert_sn and alipay_root_cert_sn
}

// sign signs a text.
func (k certifiedKey) sign(text []byte) (string, error) {
	sum := sha256.Sum256(text)
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// SignWith switches the kind of key of the messages to come.
func (c *Channel) SignWith(signing Signing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signing = signing
}

// Rotate implements simulate.KeyedDialect: it makes a new certificate and a new bare key.
func (c *Channel) Rotate() error {
	certified, err := c.root.certify("simulated Alipay", c.clock.Now())
	if err != nil {
		return err
	}
	bareKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, certified, certifiedKey{private: bareKey})
	return nil
}

// signer is the newest key of the kind that signs now.
func (c *Channel) signer() certifiedKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var newest certifiedKey
	for _, key := range c.keys {
		if (key.certificate != nil) == (c.signing == ByCertificate) {
			newest = key
		}
	}
	return newest
}

// newRoot makes a key that certifies others.
func newRoot(now time.Time) (certifiedKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return certifiedKey{}, fmt.Errorf("make the root's key: %w", err)
	}
	template := newTemplate("Simulated Certification Authority R1", now)
	template.IsCA, template.BasicConstraintsValid = true, true
	return newCertified(private, template, template, private)
}

// certify makes a key with a certificate that is valid from now on.
func (k certifiedKey) certify(name string, now time.Time) (certifiedKey, error) {
	issuer, err := x509.ParseCertificate(k.certificate)
	if err != nil {
		return certifiedKey{}, fmt.Errorf("read the root certificate: %w", err)
	}
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return certifiedKey{}, fmt.Errorf("make the key of %s: %w", name, err)
	}
	return newCertified(private, newTemplate(name, now), issuer, k.private)
}

func newTemplate(name string, now time.Time) *x509.Certificate {
	var serial [16]byte
	_, _ = rand.Read(serial[:]) // it never fails
	return &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial[:]), NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(certificateYears, 0, 0), Subject: pkix.Name{Country: []string{"CN"}, Organization: []string{"Simulated"},
			OrganizationalUnit: []string{"Certification Authority"}, CommonName: name}}
}

func newCertified(private *rsa.PrivateKey, template, issuer *x509.Certificate, by *rsa.PrivateKey) (certifiedKey, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &private.PublicKey, by)
	if err != nil {
		return certifiedKey{}, fmt.Errorf("certify %s: %w", template.Subject.CommonName, err)
	}
	return withSerial(private, der)
}

// withSerial is a key with its certificate, and without when there is none.
func withSerial(private *rsa.PrivateKey, der []byte) (certifiedKey, error) {
	if len(der) == 0 {
		return certifiedKey{private: private}, nil
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return certifiedKey{}, fmt.Errorf("read a certificate: %w", err)
	}
	sum := md5.Sum([]byte(certificate.Issuer.String() + certificate.SerialNumber.Text(10)))
	return certifiedKey{private: private, certificate: der, serial: hex.EncodeToString(sum[:])}, nil
}
