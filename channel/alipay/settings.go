package alipay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/internal/clock"
)

// knownSettings are all settings that Load takes, and whether it needs them. Keys may be PEM, or the bare base64 that Alipay's own tool
// writes and its console shows; certificates are PEM.
var knownSettings = []settings.Setting{
	{Name: "app_id", Needed: true},               // of the app, which names one merchant and its products
	{Name: "seller_id", Needed: true},            // the merchant's account, 2088 and 12 digits
	{Name: "app_private_key_file", Needed: true}, // the app's RSA private key
	{Name: "alipay_public_keys"},                 // files of Alipay's public keys; these or alipay_certificates, or both
	{Name: "alipay_certificates"},                // files of one or more of Alipay's certificates
	{Name: "app_certificate"},                    // file of the app's certificate; it and the next when there are alipay_certificates
	{Name: "alipay_root_certificate"},            // file of Alipay's root certificates
	{Name: "gateway_url", Needed: true},          // such as https://openapi.alipay.com/gateway.do
}

const rsaBitsMin = 2048

// Load reads a merchant's settings, a JSON object, and the files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, content []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load Alipay: there is no HTTP client")
	}
	s := settingsReading{settings.Read(dir, content, knownSettings)}
	s.checkCertificates()
	c := &Channel{appID: s.ID("app_id"), sellerID: s.ID("seller_id"), appKey: s.appKey(), gatewayURL: s.URL("gateway_url", true),
		client: client, clock: clock.System}
	c.keys = append(s.publicKeys(), s.certificates()...)
	if len(c.keys) == 0 {
		s.Refuse("alipay_public_keys", "names no key, nor alipay_certificates a certificate", "at least one of either")
	}
	c.appSerial, c.rootSerial = s.appSerial(c.appKey), s.rootSerial()
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("load Alipay: %w", err)
	}
	return c, nil
}

// settingsReading reads Alipay's settings.
type settingsReading struct{ *settings.Reading }

// checkCertificates refuses settings of certificates without those that belong to them.
func (s settingsReading) checkCertificates() {
	for _, name := range []string{"app_certificate", "alipay_root_certificate"} {
		if s.Has(name) != s.Has("alipay_certificates") {
			s.Refuse(name, "does not go with alipay_certificates",
				"all of alipay_certificates, app_certificate and alipay_root_certificate, or none")
		}
	}
}

// file is the content of the file that a setting names.
func (s settingsReading) file(name string) []byte { return s.File(name, s.Value(name)) }

// keyBytes are those of a key in PEM or in bare base64; nil when it is neither.
func keyBytes(content []byte) []byte {
	if block, _ := pem.Decode(content); block != nil {
		return block.Bytes
	}
	der, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(content))) // newlines inside are skipped
	if err != nil {
		return nil
	}
	return der
}

func (s settingsReading) appKey() *rsa.PrivateKey {
	const field = "app_private_key_file"
	der := keyBytes(s.file(field))
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(der)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || err != nil || key.N.BitLen() < rsaBitsMin {
		s.Refuse(field, "names a file without such a key", "an RSA private key of 2048 bits or more, PKCS #8 or PKCS #1, as PEM or base64")
		return nil
	}
	return key
}

// publicKeys are Alipay's keys without certificates.
func (s settingsReading) publicKeys() (keys alipayKeys) {
	for i, name := range s.List("alipay_public_keys") {
		field := fmt.Sprintf("alipay_public_keys[%d]", i)
		key, err := x509.ParsePKIXPublicKey(keyBytes(s.File(field, name)))
		if err != nil {
			key = nil
		}
		if public := s.publicKey(field, key); public != nil {
			keys = append(keys, alipayKey{public: public})
		}
	}
	return keys
}

// publicKey refuses what is not an RSA key that is long enough.
func (s settingsReading) publicKey(field string, key any) *rsa.PublicKey {
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < rsaBitsMin {
		s.Refuse(field, "names a file without such a key", "an RSA public key of 2048 bits or more")
		return nil
	}
	return public
}

// certificates are Alipay's keys with certificates.
func (s settingsReading) certificates() (keys alipayKeys) {
	for i, name := range s.List("alipay_certificates") {
		field := fmt.Sprintf("alipay_certificates[%d]", i)
		certificates := parseCertificates(s.File(field, name))
		if len(certificates) == 0 {
			s.Refuse(field, "names a file without a certificate", "X.509 certificates as PEM")
		}
		for _, certificate := range certificates {
			if public := s.publicKey(field, certificate.PublicKey); public != nil {
				keys = append(keys, alipayKey{public: public, serial: certificateSerial(certificate),
					notBefore: certificate.NotBefore, notAfter: certificate.NotAfter})
			}
		}
	}
	return keys
}

// parseCertificates reads the certificates of a file. It skips those on curves that crypto/x509 does not know: Alipay's root file has some
// for SM2, with which nothing is signed that we read.
func parseCertificates(content []byte) (certificates []*x509.Certificate) {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
	return certificates
}

// appSerial names the app's certificate to the gateway; "" without one.
func (s settingsReading) appSerial(key *rsa.PrivateKey) string {
	const field = "app_certificate"
	if !s.Has(field) || key == nil {
		return ""
	}
	certificates := parseCertificates(s.file(field))
	if len(certificates) == 0 || !key.PublicKey.Equal(certificates[0].PublicKey) {
		s.Refuse(field, "names a file without the certificate of app_private_key_file", "an X.509 certificate as PEM, the app's own first")
		return ""
	}
	return certificateSerial(certificates[0])
}

// rootSerial names Alipay's root certificates to the gateway: those that are signed with RSA, in the file's order; "" without any.
func (s settingsReading) rootSerial() string {
	const field = "alipay_root_certificate"
	if !s.Has(field) {
		return ""
	}
	var serials []string
	for _, certificate := range parseCertificates(s.file(field)) {
		if certificate.SignatureAlgorithm == x509.SHA256WithRSA || certificate.SignatureAlgorithm == x509.SHA1WithRSA {
			serials = append(serials, certificateSerial(certificate))
		}
	}
	if len(serials) == 0 {
		s.Refuse(field, "names a file without such a certificate", "X.509 certificates that are signed with RSA, as PEM")
	}
	return strings.Join(serials, "_")
}
