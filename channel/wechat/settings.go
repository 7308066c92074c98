package wechat

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/internal/clock"
)

// knownSettings are all settings that Load takes, and whether it needs them.
var knownSettings = []settings.Setting{
	{Name: "mch_id", Needed: true},            // the merchant's number at WeChat Pay
	{Name: "app_id", Needed: true},            // of the app, mini program or account that the payments are made in
	{Name: "merchant_serial", Needed: true},   // serial number of the merchant's API certificate, in hexadecimal
	{Name: "merchant_key_file", Needed: true}, // its RSA private key, PEM
	{Name: "api_v3_key"},                      // the APIv3 key, 32 bytes; this or api_v3_key_file
	{Name: "api_v3_key_file"},                 // the same in a file
	{Name: "platform_certificates"},           // files of one or more certificates, PEM; these or public_keys, or both
	{Name: "public_keys"},                     // {"id": "PUB_KEY_ID_…", "file": PEM}
	{Name: "base_url", Needed: true},          // such as https://api.mch.weixin.qq.com
	{Name: "notify_url"},                      // where notices of refunds go, unless the merchant's account says it
}

// Limits of keys.
const (
	apiV3KeyBytes = 32
	rsaBitsMin    = 2048
)

// Load reads a merchant's settings, a JSON object, and the PEM files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, content []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load WeChat Pay: there is no HTTP client")
	}
	s := settingsReading{settings.Read(dir, content, knownSettings)}
	c := &Channel{mchID: s.ID("mch_id"), appID: s.ID("app_id"), merchantSerial: s.ID("merchant_serial"),
		baseURL: s.URL("base_url", true), notifyURL: s.URL("notify_url", false), keys: platformKeys{}, client: client, clock: clock.System}
	c.merchantKey = s.RSAKey("merchant_key_file")
	apiV3Key := s.apiV3Key()
	s.certificates(c.keys)
	c.answerSerial = s.publicKeys(c.keys)
	if len(c.keys) == 0 {
		s.Refuse("platform_certificates", "names no certificate, nor public_keys a key", "at least one of either")
	}
	err := s.Err()
	if err == nil {
		c.aead, err = newAEAD(apiV3Key)
	}
	if err != nil {
		return nil, fmt.Errorf("load WeChat Pay: %w", err)
	}
	return c, nil
}

// settingsReading reads WeChat Pay's settings.
type settingsReading struct{ *settings.Reading }

func (s settingsReading) apiV3Key() []byte {
	const allowed = "the APIv3 key of 32 bytes, in api_v3_key or in the file that api_v3_key_file names"
	key := []byte(s.Text("api_v3_key", s.Value("api_v3_key")))
	field := "api_v3_key"
	if s.Has("api_v3_key_file") {
		if len(key) > 0 {
			s.Refuse(field, "is given twice", allowed)
		}
		field = "api_v3_key_file"
		key = bytes.TrimRight(s.File(field, s.Value(field)), "\r\n")
	}
	if len(key) != apiV3KeyBytes {
		s.Refuse(field, fmt.Sprintf("has a key of %d bytes", len(key)), allowed)
	}
	return key
}

// certificates adds the platform's certificates to the keys.
func (s settingsReading) certificates(keys platformKeys) {
	for i, name := range s.List("platform_certificates") {
		field := fmt.Sprintf("platform_certificates[%d]", i)
		for _, certificate := range s.Certificates(field, name) {
			s.addCertificate(keys, field, certificate)
		}
	}
}

func (s settingsReading) addCertificate(keys platformKeys, field string, certificate *x509.Certificate) {
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
func (s settingsReading) publicKeys(keys platformKeys) string {
	var current string
	for i, item := range s.List("public_keys") {
		field := fmt.Sprintf("public_keys[%d]", i)
		named, file := item.Fields.Get("id"), item.Fields.Get("file")
		if len(item.Fields) != 2 || named.Kind == strictjson.Absent || file.Kind == strictjson.Absent {
			s.Refuse(field, "has other fields", `{"id": "PUB_KEY_ID_…", "file": "name.pem"}`)
			continue
		}
		id := s.Text(field+".id", named)
		if !strings.HasPrefix(id, publicKeyIDPrefix) || !printable(id) {
			s.Refuse(field+".id", "is not the id of a public key", publicKeyIDPrefix+" and its number")
		}
		var parsed any
		if block, _ := pem.Decode(s.File(field+".file", file)); block != nil {
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
func (s settingsReading) publicKey(field string, key any) *rsa.PublicKey {
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < rsaBitsMin {
		s.Refuse(field, "names a file without such a key", "an RSA public key of 2048 bits or more, as PEM")
		return nil
	}
	return public
}

func (s settingsReading) add(keys platformKeys, field, serial string, key platformKey) {
	if key.public == nil {
		return // refused already
	}
	if other, taken := keys[serial]; taken && !other.public.Equal(key.public) {
		s.Refuse(field, "is named twice, with different keys", "each serial number and id once")
	}
	keys[serial] = key
}
