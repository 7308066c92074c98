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

// signingKey is a key of Alipay.
type signingKey struct {
	private     *rsa.PrivateKey
	certificate []byte // nil: it is a bare key
	serial      string // alipay_cert_sn of the certificate
}

// sign signs a text.
func (k signingKey) sign(text []byte) (string, error) {
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

// Rotate makes a new certificate and a new bare key, with which messages are signed from now on.
func (c *Channel) Rotate() error {
	certified, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return fmt.Errorf("make a certificate's key: %w", err)
	}
	bareKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	der, err := c.root.certify("simulated Alipay", &certified.PublicKey, c.clock.Now())
	if err != nil {
		return err
	}
	serial, err := serialOf(der)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, signingKey{private: certified, certificate: der, serial: serial}, signingKey{private: bareKey})
	return nil
}

// signer is the newest key of the kind that signs now.
func (c *Channel) signer() signingKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var newest signingKey
	for _, key := range c.keys {
		if (key.certificate != nil) == (c.signing == ByCertificate) {
			newest = key
		}
	}
	return newest
}

// authority issues certificates.
type authority struct {
	private     *rsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(now time.Time) (authority, error) {
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return authority{}, fmt.Errorf("make the root's key: %w", err)
	}
	root := authority{private: private, certificate: &x509.Certificate{SerialNumber: newSerial(), IsCA: true, BasicConstraintsValid: true,
		Subject: pkix.Name{Country: []string{"CN"}, Organization: []string{"Simulated"}, OrganizationalUnit: []string{"Certification Authority"},
			CommonName: "Simulated Certification Authority R1"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0)}}
	der, err := x509.CreateCertificate(rand.Reader, root.certificate, root.certificate, &private.PublicKey, private)
	if err != nil {
		return authority{}, fmt.Errorf("make the root certificate: %w", err)
	}
	root.certificate, err = x509.ParseCertificate(der)
	return root, err
}

// certify makes a certificate that is valid from now on.
func (a authority) certify(name string, key *rsa.PublicKey, now time.Time) ([]byte, error) {
	template := &x509.Certificate{SerialNumber: newSerial(), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certificateYears, 0, 0),
		Subject: pkix.Name{Country: []string{"CN"}, Organization: []string{"Simulated"}, CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.private)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	return der, nil
}

// newSerial is a random serial number of 16 bytes.
func newSerial() *big.Int {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return new(big.Int).SetBytes(raw[:])
}

// serialOf is what a certificate is called in alipay_cert_sn, app_cert_sn and alipay_root_cert_sn.
func serialOf(der []byte) (string, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("read a certificate: %w", err)
	}
	sum := md5.Sum([]byte(certificate.Issuer.String() + certificate.SerialNumber.Text(10)))
	return hex.EncodeToString(sum[:]), nil
}
