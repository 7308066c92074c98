package unionpay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
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

// settingsNames are all settings that Load takes, and whether it needs them.
var settingsNames = []struct {
	name   string
	needed bool
}{
	{"mer_id", true},                    // the merchant's number at UnionPay, 15 letters and digits
	{"merchant_certificate_file", true}, // its signing certificate, PEM
	{"merchant_key_file", true},         // the RSA private key of that certificate, PEM
	{"root_files", true},                // files of one or more root certificates of CFCA's, PEM
	{"middle_files", true},              // the same for the certificates between a root and UnionPay's
	{"signer_names", false},             // third parts of common names; defaults to 中国银联股份有限公司 alone
	{"allow_sha1", false},               // take certificates that were signed with SHA-1, as the test gateway's; defaults to false
	{"back_trans_url", true},            // such as https://gateway.95516.com/gateway/api/backTransReq.do
	{"query_trans_url", true},           // such as https://gateway.95516.com/gateway/api/queryTrans.do
	{"back_url", true},                  // where notices of refunds go
}

// Load reads a merchant's settings, a JSON object, and the PEM files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, settings []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load UnionPay: there is no HTTP client")
	}
	values, err := parseSettings(settings)
	if err != nil {
		return nil, fmt.Errorf("load UnionPay: %w", &tasks.FieldError{Field: "settings", Problem: err.Error(), Allowed: "one JSON object"})
	}
	s := &settingsReading{dir: dir, values: values}
	s.checkNames()
	c := &Channel{merID: s.merID(), backTransURL: s.url("back_trans_url"), queryTransURL: s.url("query_trans_url"),
		backURL: s.url("back_url"), client: client, clock: clock.System}
	c.certID, c.merchantKey = s.merchant()
	c.signers = s.signers()
	if s.err != nil {
		return nil, fmt.Errorf("load UnionPay: %w", s.err)
	}
	return c, nil
}

// parseSettings reads one JSON object, each of whose names is there once. Names are compared exactly.
func parseSettings(text []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("are not a JSON object")
	}
	values := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("are not JSON")
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil, errors.New("are not JSON")
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("name %s twice", strconv.QuoteToASCII(name))
		}
		values[name] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("are not JSON")
	}
	if len(bytes.TrimSpace(text[decoder.InputOffset():])) > 0 {
		return nil, errors.New("have more after the object")
	}
	return values, nil
}

// settingsReading reads settings and keeps the first one that is wrong.
type settingsReading struct {
	dir    string
	values map[string]json.RawMessage
	err    *tasks.FieldError
}

func (s *settingsReading) refuse(field, problem, allowed string) {
	if s.err == nil {
		s.err = &tasks.FieldError{Field: field, Problem: problem, Allowed: allowed}
	}
}

func (s *settingsReading) checkNames() {
	var names []string
	for _, setting := range settingsNames {
		names = append(names, setting.name)
		if _, found := s.values[setting.name]; setting.needed && !found {
			s.refuse(setting.name, "is missing", "a value")
		}
	}
	for name := range s.values {
		if !slices.Contains(names, name) {
			s.refuse(strconv.QuoteToASCII(name), "is no setting", strings.Join(names, ", "))
		}
	}
}

// read decodes a setting's value; what it is not there, or another kind of value, is left as it was.
func (s *settingsReading) read(field string, into any, allowed string) {
	value, found := s.values[field]
	if !found {
		return
	}
	if string(value) == "null" || json.Unmarshal(value, into) != nil {
		s.refuse(field, "is another kind of value", allowed)
	}
}

// merIDBytes is the length of every merchant's number.
const merIDBytes = 15

func (s *settingsReading) merID() string {
	const allowed = "a string of 15 letters and digits"
	var id string
	s.read("mer_id", &id, allowed)
	if len(id) != merIDBytes || !isAlphanumeric(id) {
		s.refuse("mer_id", "has another length or other characters", allowed)
	}
	return id
}

func (s *settingsReading) url(field string) string {
	const allowed = "a URL without user and fragment, such as https://example.com/path"
	var text string
	s.read(field, &text, allowed)
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" || address.User != nil ||
		address.Fragment != "" {
		s.refuse(field, "is not an address", allowed)
	}
	return text
}

// file reads a file, which must lie under the settings' directory.
func (s *settingsReading) file(field, name string) []byte {
	if !filepath.IsLocal(name) {
		s.refuse(field, "is not the name of a file under the settings' directory", `a relative name, such as "unionpay/key.pem"`)
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

// certificates reads all certificates of a file; at least one.
func (s *settingsReading) certificates(field, name string) []*x509.Certificate {
	const allowed = "X.509 certificates as PEM"
	var read []*x509.Certificate
	rest := s.file(field, name)
	for block, after := pem.Decode(rest); block != nil; block, after = pem.Decode(after) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.refuse(field, "names a file with something else", allowed)
			continue
		}
		read = append(read, certificate)
	}
	if len(read) == 0 {
		s.refuse(field, "names a file without a certificate", allowed)
	}
	return read
}

// merchant reads our certificate's serial number, in decimal, and its key.
func (s *settingsReading) merchant() (certID string, key *rsa.PrivateKey) {
	const certificateField, keyField = "merchant_certificate_file", "merchant_key_file"
	var certificateName, keyName string
	s.read(certificateField, &certificateName, "a string")
	s.read(keyField, &keyName, "a string")
	certificates := s.certificates(certificateField, certificateName)
	block, _ := pem.Decode(s.file(keyField, keyName))
	if block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		if private, ok := parsed.(*rsa.PrivateKey); ok && err == nil && private.N.BitLen() >= rsaBitsMin {
			key = private
		}
	}
	switch {
	case key == nil:
		s.refuse(keyField, "names a file without such a key", "an RSA private key of 2048 bits or more, PKCS #8 or PKCS #1, as PEM")
	case len(certificates) == 0: // refused already
	case len(certificates) > 1 || !key.PublicKey.Equal(certificates[0].PublicKey):
		s.refuse(certificateField, "names a file with more, or with the certificate of another key", "the certificate of merchant_key_file")
	default:
		return certificates[0].SerialNumber.String(), key
	}
	return "", nil
}

// signers reads who may sign for UnionPay. Each middle must have been issued by one of the roots.
func (s *settingsReading) signers() signers {
	read := signers{names: []string{signerName}}
	s.read("signer_names", &read.names, "a list of strings")
	s.read("allow_sha1", &read.allowSHA1, "true or false")
	if len(read.names) == 0 || slices.Contains(read.names, "") {
		s.refuse("signer_names", "is empty, or one of its names is", "third parts of common names")
	}
	var roots []*x509.Certificate
	s.eachCertificate("root_files", func(_ string, root *x509.Certificate) { roots = append(roots, root) })
	s.eachCertificate("middle_files", func(field string, certificate *x509.Certificate) {
		root := slices.IndexFunc(roots, func(root *x509.Certificate) bool {
			return bytes.Equal(certificate.RawIssuer, root.RawSubject) && read.checkSignature(certificate, root) == nil
		})
		if root < 0 {
			s.refuse(field, "names a certificate that no root has issued, or with SHA-1", "certificates that one of root_files has issued; "+
				"with SHA-1 only where allow_sha1 says so")
			return
		}
		read.middles = append(read.middles, middle{certificate, roots[root]})
	})
	return read
}

// eachCertificate gives all certificates of a list of files to take.
func (s *settingsReading) eachCertificate(field string, take func(field string, certificate *x509.Certificate)) {
	var names []string
	s.read(field, &names, "a list of strings")
	if len(names) == 0 {
		s.refuse(field, "is empty", "a list of the names of files")
	}
	for i, name := range names {
		element := fmt.Sprintf("%s[%d]", field, i)
		for _, certificate := range s.certificates(element, name) {
			if !issues(certificate) {
				s.refuse(element, "names a certificate that may not issue others", "certificates of CFCA's")
				continue
			}
			take(element, certificate)
		}
	}
}
