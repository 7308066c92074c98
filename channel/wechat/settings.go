package wechat

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
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

	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// settingsNames are all settings that Load takes, and whether it needs them.
var settingsNames = []struct {
	name   string
	needed bool
}{
	{"mch_id", true},                 // the merchant's number at WeChat Pay
	{"app_id", true},                 // of the app, mini program or account that the payments are made in
	{"merchant_serial", true},        // serial number of the merchant's API certificate, in hexadecimal
	{"merchant_key_file", true},      // its RSA private key, PEM
	{"api_v3_key", false},            // the APIv3 key, 32 bytes; this or api_v3_key_file
	{"api_v3_key_file", false},       // the same in a file
	{"platform_certificates", false}, // files of one or more certificates, PEM; these or public_keys, or both
	{"public_keys", false},           // {"id": "PUB_KEY_ID_…", "file": PEM}
	{"base_url", true},               // such as https://api.mch.weixin.qq.com
	{"notify_url", false},            // where notices of refunds go, unless the merchant's account says it
}

// Limits of keys.
const (
	apiV3KeyBytes = 32
	rsaBitsMin    = 2048
)

// Load reads a merchant's settings, a JSON object, and the PEM files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, settings []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load WeChat Pay: there is no HTTP client")
	}
	values, err := strictjson.Parse(settings)
	if err != nil {
		return nil, fmt.Errorf("load WeChat Pay: %w", &tasks.FieldError{Field: "settings", Problem: err.Error(), Allowed: "one JSON object"})
	}
	s := &settingsReading{dir: dir, values: values}
	s.checkNames()
	c := &Channel{mchID: s.id("mch_id"), appID: s.id("app_id"), merchantSerial: s.id("merchant_serial"),
		baseURL: s.url("base_url", true), notifyURL: s.url("notify_url", false), keys: platformKeys{}, client: client, clock: clock.System}
	c.merchantKey = s.merchantKey()
	apiV3Key := s.apiV3Key()
	s.certificates(c.keys)
	c.answerSerial = s.publicKeys(c.keys)
	if len(c.keys) == 0 {
		s.refuse("platform_certificates", "names no certificate, nor public_keys a key", "at least one of either")
	}
	if s.err != nil {
		return nil, fmt.Errorf("load WeChat Pay: %w", s.err)
	}
	if c.aead, err = newAEAD(apiV3Key); err != nil {
		return nil, fmt.Errorf("load WeChat Pay: %w", err)
	}
	return c, nil
}

// settingsReading reads settings and keeps the first one that is wrong.
type settingsReading struct {
	dir    string
	values strictjson.Object
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
		if setting.needed && s.values.Get(setting.name).Kind == strictjson.Absent {
			s.refuse(setting.name, "is missing", "a value")
		}
	}
	for _, field := range s.values {
		if !slices.Contains(names, field.Name) {
			s.refuse(strconv.QuoteToASCII(field.Name), "is no setting", strings.Join(names, ", "))
		}
	}
}

// text is a setting's string; "" when it is not there.
func (s *settingsReading) text(field string, v strictjson.Value) string {
	if v.Kind != strictjson.Text && v.Kind != strictjson.Absent {
		s.refuse(field, "is not text", "a string")
	}
	return v.Text
}

func (s *settingsReading) id(field string) string {
	value := s.text(field, s.values.Get(field))
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if value == "" || len(value) > idBytesMax || strings.Trim(value, allowed) != "" {
		s.refuse(field, "is empty, too long or has other characters", "1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	return value
}

func (s *settingsReading) url(field string, needed bool) string {
	value := s.text(field, s.values.Get(field))
	if value == "" && !needed {
		return ""
	}
	address, err := url.Parse(value)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" || address.User != nil ||
		address.RawQuery != "" || address.Fragment != "" {
		s.refuse(field, "is not an address", "a URL without user, query and fragment, such as https://example.com/path")
	}
	return strings.TrimRight(value, "/")
}

// file reads a named file. It must lie under the settings' directory.
func (s *settingsReading) file(field string, v strictjson.Value) []byte {
	name := s.text(field, v)
	if !filepath.IsLocal(name) {
		s.refuse(field, "is not the name of a file under the settings' directory", `a relative name, such as "wechat/key.pem"`)
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

func (s *settingsReading) apiV3Key() []byte {
	const allowed = "the APIv3 key of 32 bytes, in api_v3_key or in the file that api_v3_key_file names"
	key := []byte(s.text("api_v3_key", s.values.Get("api_v3_key")))
	field := "api_v3_key"
	if s.values.Get("api_v3_key_file").Kind != strictjson.Absent {
		if len(key) > 0 {
			s.refuse(field, "is given twice", allowed)
		}
		field = "api_v3_key_file"
		key = bytes.TrimRight(s.file(field, s.values.Get(field)), "\r\n")
	}
	if len(key) != apiV3KeyBytes {
		s.refuse(field, fmt.Sprintf("has a key of %d bytes", len(key)), allowed)
	}
	return key
}

func (s *settingsReading) merchantKey() *rsa.PrivateKey {
	const field = "merchant_key_file"
	block, _ := pem.Decode(s.file(field, s.values.Get(field)))
	if block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		if key, ok := parsed.(*rsa.PrivateKey); ok && err == nil && key.N.BitLen() >= rsaBitsMin {
			return key
		}
	}
	s.refuse(field, "names a file without such a key", "an RSA private key of 2048 bits or more, PKCS #8 or PKCS #1, as PEM")
	return nil
}

// list is a setting's list; nil when it is not there.
func (s *settingsReading) list(field string) []strictjson.Value {
	v := s.values.Get(field)
	if v.Kind != strictjson.List && v.Kind != strictjson.Absent {
		s.refuse(field, "is not a list", "a list")
	}
	return v.Items
}

// certificates adds the platform's certificates to the keys.
func (s *settingsReading) certificates(keys platformKeys) {
	for i, name := range s.list("platform_certificates") {
		field := fmt.Sprintf("platform_certificates[%d]", i)
		rest, found := s.file(field, name), 0
		for block, after := pem.Decode(rest); block != nil; block, after = pem.Decode(after) {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				s.refuse(field, "names a file with something else", "X.509 certificates as PEM")
				continue
			}
			found++
			s.addCertificate(keys, field, certificate)
		}
		if found == 0 {
			s.refuse(field, "names a file without a certificate", "X.509 certificates as PEM")
		}
	}
}

func (s *settingsReading) addCertificate(keys platformKeys, field string, certificate *x509.Certificate) {
	key := platformKey{public: s.publicKey(field, certificate.PublicKey), certified: true,
		notBefore: certificate.NotBefore, notAfter: certificate.NotAfter}
	serial := fmt.Sprintf("%X", certificate.SerialNumber)
	s.add(keys, field, serial, key)
	if len(serial)%2 != 0 { // some write whole bytes
		s.add(keys, field, "0"+serial, key)
	}
}

// publicKeys adds the public keys to the keys, and returns the id of the last, which is the one that is current while another is
// replaced.
func (s *settingsReading) publicKeys(keys platformKeys) string {
	var current string
	for i, item := range s.list("public_keys") {
		field := fmt.Sprintf("public_keys[%d]", i)
		named, file := item.Fields.Get("id"), item.Fields.Get("file")
		if len(item.Fields) != 2 || named.Kind == strictjson.Absent || file.Kind == strictjson.Absent {
			s.refuse(field, "has other fields", `{"id": "PUB_KEY_ID_…", "file": "name.pem"}`)
			continue
		}
		id := s.text(field+".id", named)
		if !strings.HasPrefix(id, publicKeyIDPrefix) || !printable(id) {
			s.refuse(field+".id", "is not the id of a public key", publicKeyIDPrefix+" and its number")
		}
		var parsed any
		if block, _ := pem.Decode(s.file(field+".file", file)); block != nil {
			if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
				parsed = key
			}
		}
		s.add(keys, field+".id", id, platformKey{public: s.publicKey(field+".file", parsed)})
		current = id
	}
	return current
}

// publicKey refuses what is not an RSA key that is long enough.
func (s *settingsReading) publicKey(field string, key any) *rsa.PublicKey {
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < rsaBitsMin {
		s.refuse(field, "names a file without such a key", "an RSA public key of 2048 bits or more, as PEM")
		return nil
	}
	return public
}

func (s *settingsReading) add(keys platformKeys, field, serial string, key platformKey) {
	if key.public == nil {
		return // refused already
	}
	if other, taken := keys[serial]; taken && !other.public.Equal(key.public) {
		s.refuse(field, "is named twice, with different keys", "each serial number and id once")
	}
	keys[serial] = key
}
