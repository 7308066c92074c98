package unionpay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// rsaBitsMin is the least length of a key, ours or UnionPay's.
const rsaBitsMin = 2048

// signerName is the third part of a signing certificate's common name, as in 041@8310000000083040@中国银联股份有限公司@00016495.
const signerName = "中国银联股份有限公司"

// signers says which certificates sign for UnionPay: those that were issued below our roots and middles to one of the names.
type signers struct {
	middles   []middle
	names     []string
	allowSHA1 bool // in the signatures on certificates; never in those on messages
}

// middle is a certificate that issues signing certificates, and the root that has issued it.
type middle struct{ certificate, root *x509.Certificate }

// publicKey is the key of a certificate that came in a message, if it may sign at the time now.
func (s *signers) publicKey(text string, now time.Time) (*rsa.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("is not one certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok || public.N.BitLen() < rsaBitsMin:
		return nil, fmt.Errorf("has no RSA key of %d bits or more", rsaBitsMin)
	case certificate.IsCA || certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errors.New("is not made for signing messages")
	case len(certificate.UnhandledCriticalExtensions) > 0:
		return nil, errors.New("has a critical extension that is unknown")
	case !slices.Contains(s.names, ownerName(certificate)):
		return nil, errors.New("was issued to somebody else")
	}
	if err := s.checkIssuer(certificate, now); err != nil {
		return nil, err
	}
	return public, nil
}

// ownerName is the third part of the common name; "" when it has fewer.
func ownerName(certificate *x509.Certificate) string {
	parts := strings.Split(certificate.Subject.CommonName, "@")
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// checkIssuer accepts a certificate that one of the middles has issued, if it, the middle and the root are all valid at the time now.
func (s *signers) checkIssuer(certificate *x509.Certificate, now time.Time) error {
	err := errors.New("was issued by somebody whom we do not know")
	for _, m := range s.middles {
		if !bytes.Equal(certificate.RawIssuer, m.certificate.RawSubject) {
			continue
		}
		if err = s.checkSignature(certificate, m.certificate); err != nil {
			continue
		}
		if err = checkValid(now, certificate, m.certificate, m.root); err == nil {
			return nil
		}
	}
	return err
}

// checkSignature checks that the issuer's key signed a certificate. x509.Verify does not do it here: it refuses SHA-1 in every case,
// and UnionPay's test gateway has no other chain.
func (s *signers) checkSignature(certificate, issuer *x509.Certificate) error {
	if sha1Signed(certificate) && !s.allowSHA1 {
		return errors.New("was signed with SHA-1")
	}
	if err := issuer.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
		return errors.New("was not signed by its issuer")
	}
	return nil
}

func sha1Signed(certificate *x509.Certificate) bool {
	return certificate.SignatureAlgorithm == x509.SHA1WithRSA || certificate.SignatureAlgorithm == x509.ECDSAWithSHA1
}

// issues says whether a certificate may issue others.
func issues(certificate *x509.Certificate) bool {
	return certificate.BasicConstraintsValid && certificate.IsCA && len(certificate.UnhandledCriticalExtensions) == 0 &&
		(certificate.KeyUsage == 0 || certificate.KeyUsage&x509.KeyUsageCertSign != 0)
}

func checkValid(now time.Time, chain ...*x509.Certificate) error {
	for _, certificate := range chain {
		if now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
			return fmt.Errorf("or its issuer is valid from %s to %s only", certificate.NotBefore.Format(time.RFC3339),
				certificate.NotAfter.Format(time.RFC3339))
		}
	}
	return nil
}
