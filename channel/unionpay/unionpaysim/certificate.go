package unionpaysim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

const (
	rsaBits = 2048
	// How long certificates are valid; UnionPay's sign for five years.
	rootYears, middleYears, signingYears = 20, 15, 5
)

// certified is a key with its certificate.
type certified struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// Rotate implements simulate.KeyedDialect: it makes a new signing certificate, with which messages are signed from now on.
func (c *Channel) Rotate() error {
	signer, err := certify(c.signing(fmt.Sprintf("041@8310000000083040@中国银联股份有限公司@%08d", serialNumber().Int64()%1e8)), &c.middle)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signer = signer
	return nil
}

// authority is the template of a certificate that issues others.
func (c *Channel) authority(name string, years int) *x509.Certificate {
	template := c.template(name, years)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	return template
}

// signing is the template of a certificate that signs messages.
func (c *Channel) signing(name string) *x509.Certificate {
	template := c.template(name, signingYears)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	return template
}

func (c *Channel) template(name string, years int) *x509.Certificate {
	now := c.clock.Now()
	return &x509.Certificate{SerialNumber: serialNumber(), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(years, 0, 0),
		Subject: pkix.Name{CommonName: name, Organization: []string{"Simulated"}, Country: []string{"CN"}}}
}

// certify makes a key and has its certificate issued; by itself if there is no issuer.
func certify(template *x509.Certificate, issuer *certified) (certified, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return certified{}, fmt.Errorf("make the key of %s: %w", template.Subject.CommonName, err)
	}
	parent := certified{key: key, certificate: template}
	if issuer != nil {
		parent = *issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, &key.PublicKey, parent.key)
	if err != nil {
		return certified{}, fmt.Errorf("issue the certificate of %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return certified{}, fmt.Errorf("read the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return certified{key: key, certificate: certificate}, nil
}

func (c certified) pem() []byte { return encodePEM("CERTIFICATE", c.certificate.Raw) }

// serialNumber is a random number of five bytes, as CFCA's.
func serialNumber() *big.Int {
	var raw [5]byte
	_, _ = rand.Read(raw[:]) // it never fails
	raw[0] |= 0x10
	return new(big.Int).SetBytes(raw[:])
}
