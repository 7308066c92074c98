package alipay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// settingsNames are all settings that Load takes, and whether it needs them. Keys may be PEM, or the bare base64 that Alipay's own tool
// writes and its console shows; certificates are PEM.
var settingsNames = []struct {
	name   string
	needed bool
}{
	{"app_id", true},                   // of the app, which names one merchant and its products
	{"seller_id", true},                // the merchant's account, 2088 and 12 digits
	{"app_private_key_file", true},     // the app's RSA private key
	{"alipay_public_keys", false},      // files of Alipay's public keys; these or alipay_certificates, or both
	{"alipay_certificates", false},     // files of one or more of Alipay's certificates
	{"app_certificate", false},         // file of the app's certificate; it and the next when there are alipay_certificates
	{"alipay_root_certificate", false}, // file of Alipay's root certificates
	{"gateway_url", true},              // such as https://openapi.alipay.com/gateway.do
}

const rsaBitsMin = 2048

// Load reads a merchant's settings, a JSON object, and the files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, settings []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load Alipay: there is no HTTP client")
	}
	values, err := parseObject(settings)
	if err != nil {
		return nil, fmt.Errorf("load Alipay: %w", &tasks.FieldError{Field: "settings", Problem: err.Error(), Allowed: "one JSON object"})
	}
	s := &settingsReading{dir: dir, values: values}
	s.checkNames()
	c := &Channel{appID: s.id("app_id"), sellerID: s.id("seller_id"), appKey: s.appKey(), gatewayURL: s.url("gateway_url"),
		client: client, clock: clock.System}
	c.keys = append(s.publicKeys(), s.certificates()...)
	if len(c.keys) == 0 {
		s.refuse("alipay_public_keys", "names no key, nor alipay_certificates a certificate", "at least one of either")
	}
	c.appSerial, c.rootSerial = s.appSerial(c.appKey), s.rootSerial()
	if s.err != nil {
		return nil, fmt.Errorf("load Alipay: %w", s.err)
	}
	return c, nil
}

// settingsReading reads settings and keeps the first one that is wrong.
type settingsReading struct {
	dir    string
	values object
	err    *tasks.FieldError
}

func (s *settingsReading) refuse(field, problem, allowed string) {
	if s.err == nil {
		s.err = &tasks.FieldError{Field: field, Problem: problem, Allowed: allowed}
	}
}

func (s *settingsReading) has(field string) bool {
	_, found := s.values[field]
	return found
}

// checkNames refuses settings that are missing, unknown, or there without those that belong to them.
func (s *settingsReading) checkNames() {
	var names []string
	for _, setting := range settingsNames {
		names = append(names, setting.name)
		if setting.needed && !s.has(setting.name) {
			s.refuse(setting.name, "is missing", "a value")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		if !slices.Contains(names, name) {
			s.refuse(strconv.QuoteToASCII(name), "is no setting", strings.Join(names, ", "))
		}
	}
	for _, name := range []string{"app_certificate", "alipay_root_certificate"} {
		if s.has(name) != s.has("alipay_certificates") {
			s.refuse(name, "does not go with alipay_certificates",
				"all of alipay_certificates, app_certificate and alipay_root_certificate, or none")
		}
	}
}

// text is a setting's string; "" when it is not there.
func (s *settingsReading) text(field string) string {
	text, ok := s.values.text(field)
	if !ok {
		s.refuse(field, "is not text", "a string")
	}
	return text
}

func (s *settingsReading) id(field string) string {
	value := s.text(field)
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if value == "" || len(value) > idBytesMax || strings.Trim(value, allowed) != "" {
		s.refuse(field, "is empty, too long or has other characters", "1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	return value
}

func (s *settingsReading) url(field string) string {
	value := s.text(field)
	address, err := url.Parse(value)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" || address.User != nil ||
		address.RawQuery != "" || address.Fragment != "" {
		s.refuse(field, "is not an address", "a URL without user, query and fragment, such as https://example.com/gateway.do")
	}
	return value
}

// file reads a named file. It must lie under the settings' directory.
func (s *settingsReading) file(field, name string) []byte {
	if !filepath.IsLocal(name) {
		s.refuse(field, "is not the name of a file under the settings' directory", `a relative name, such as "alipay/key.pem"`)
		return nil
	}
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		var reason *os.PathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		s.refuse(field, fmt.Sprintf("names %q, which cannot be read: %v", name, err), "a file that can be read")
	}
	return content
}

// files are the contents of a list of files, each with the name of its setting.
func (s *settingsReading) files(field string, read func(field string, content []byte)) {
	var names []string
	if s.has(field) && (json.Unmarshal(s.values[field], &names) != nil || names == nil) {
		s.refuse(field, "is not a list of texts", `names of files, such as ["alipay/key.pem"]`)
		return
	}
	for i, name := range names {
		named := fmt.Sprintf("%s[%d]", field, i)
		read(named, s.file(named, name))
	}
}

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

func (s *settingsReading) appKey() *rsa.PrivateKey {
	const field = "app_private_key_file"
	der := keyBytes(s.file(field, s.text(field)))
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(der)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || err != nil || key.N.BitLen() < rsaBitsMin {
		s.refuse(field, "names a file without such a key", "an RSA private key of 2048 bits or more, PKCS #8 or PKCS #1, as PEM or base64")
		return nil
	}
	return key
}

// publicKeys are Alipay's keys without certificates.
func (s *settingsReading) publicKeys() (keys alipayKeys) {
	s.files("alipay_public_keys", func(field string, content []byte) {
		key, err := x509.ParsePKIXPublicKey(keyBytes(content))
		if err != nil {
			key = nil
		}
		if public := s.publicKey(field, key); public != nil {
			keys = append(keys, alipayKey{public: public})
		}
	})
	return keys
}

// publicKey refuses what is not an RSA key that is long enough.
func (s *settingsReading) publicKey(field string, key any) *rsa.PublicKey {
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < rsaBitsMin {
		s.refuse(field, "names a file without such a key", "an RSA public key of 2048 bits or more")
		return nil
	}
	return public
}

// certificates are Alipay's keys with certificates.
func (s *settingsReading) certificates() (keys alipayKeys) {
	s.files("alipay_certificates", func(field string, content []byte) {
		certificates := parseCertificates(content)
		if len(certificates) == 0 {
			s.refuse(field, "names a file without a certificate", "X.509 certificates as PEM")
		}
		for _, certificate := range certificates {
			if public := s.publicKey(field, certificate.PublicKey); public != nil {
				keys = append(keys, alipayKey{public: public, serial: certificateSerial(certificate),
					notBefore: certificate.NotBefore, notAfter: certificate.NotAfter})
			}
		}
	})
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
func (s *settingsReading) appSerial(key *rsa.PrivateKey) string {
	const field = "app_certificate"
	if !s.has(field) || key == nil {
		return ""
	}
	certificates := parseCertificates(s.file(field, s.text(field)))
	if len(certificates) == 0 || !key.PublicKey.Equal(certificates[0].PublicKey) {
		s.refuse(field, "names a file without the certificate of app_private_key_file", "an X.509 certificate as PEM, the app's own first")
		return ""
	}
	return certificateSerial(certificates[0])
}

// rootSerial names Alipay's root certificates to the gateway: those that are signed with RSA, in the file's order; "" without any.
func (s *settingsReading) rootSerial() string {
	const field = "alipay_root_certificate"
	if !s.has(field) {
		return ""
	}
	var serials []string
	for _, certificate := range parseCertificates(s.file(field, s.text(field))) {
		if certificate.SignatureAlgorithm == x509.SHA256WithRSA || certificate.SignatureAlgorithm == x509.SHA1WithRSA {
			serials = append(serials, certificateSerial(certificate))
		}
	}
	if len(serials) == 0 {
		s.refuse(field, "names a file without such a certificate", "X.509 certificates that are signed with RSA, as PEM")
	}
	return strings.Join(serials, "_")
}
