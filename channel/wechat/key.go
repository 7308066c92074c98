package wechat

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
)

const (
	// publicKeyIDPrefix begins the ids of public keys, in the place of a certificate's serial number.
	publicKeyIDPrefix = "PUB_KEY_ID_"
	// probePrefix begins signatures that WeChat Pay makes wrong on purpose.
	probePrefix = "WECHATPAY/SIGNTEST/"
	// windowSeconds is how far a timestamp may be from now, either way; at it, the message is stale. As in the official SDK.
	windowSeconds = 300
	// headerBytesMax bounds the headers that are signed or looked up; nonces have 32 bytes and ids 44.
	headerBytesMax = 128
)

// platformKey is a key with which WeChat Pay signs.
type platformKey struct {
	public *rsa.PublicKey
	// certified says that it came in a certificate, valid from notBefore to notAfter, both included. Public keys have no end.
	certified           bool
	notBefore, notAfter time.Time
}

// platformKeys are all keys that may have signed, by Wechatpay-Serial. Serials are compared exactly: they are not under the signature.
type platformKeys map[string]platformKey

// verify checks the signature of a notice or of an answer at the time now. It returns channel.ErrNotGenuine, ErrProbe, ErrStale or
// ErrMalformed, wrapped.
func (k platformKeys) verify(header http.Header, body []byte, now time.Time) error {
	if types := header["Wechatpay-Signature-Type"]; len(types) > 1 || len(types) == 1 && types[0] != "" && types[0] != signatureType {
		return fmt.Errorf("%w: Wechatpay-Signature-Type is not %s", channel.ErrNotGenuine, signatureType)
	}
	var values [4]string // canonical header names, so that the map can be read directly
	for i, name := range [...]string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial", "Wechatpay-Signature"} {
		list := header[name]
		if len(list) != 1 || list[0] == "" {
			return fmt.Errorf("%w: has %d values of %s", channel.ErrNotGenuine, len(list), name)
		}
		values[i] = list[0]
	}
	timestamp, nonce, serial, signature := values[0], values[1], values[2], values[3]
	if strings.HasPrefix(signature, probePrefix) {
		return channel.ErrProbe
	}
	// A newline would let bytes of the nonce and of the body change places under the same signature.
	if !printable(timestamp) || !printable(nonce) || !printable(serial) {
		return fmt.Errorf("%w: a header is not plain text of up to %d bytes", channel.ErrNotGenuine, headerBytesMax)
	}
	key, known := k[serial]
	if !known {
		return fmt.Errorf("%w: no key is configured for Wechatpay-Serial %s", channel.ErrNotGenuine, serial)
	}
	if key.certified && (now.Before(key.notBefore) || now.After(key.notAfter)) {
		return fmt.Errorf("%w: platform certificate %s is valid from %s to %s", channel.ErrNotGenuine, serial,
			key.notBefore.Format(time.RFC3339), key.notAfter.Format(time.RFC3339))
	}
	if err := key.verify(timestamp, nonce, body, signature); err != nil {
		return fmt.Errorf("%w: %w", channel.ErrNotGenuine, err)
	}
	return checkAge(timestamp, now)
}

// verify checks the signature over timestamp, nonce and body.
func (k platformKey) verify(timestamp, nonce string, body []byte, signature string) error {
	// The length is checked because the decoder drops newlines, Strict because it ignores the last bits: one signature, one form.
	encoding := base64.StdEncoding.Strict()
	if len(signature) != encoding.EncodedLen(k.public.Size()) {
		return fmt.Errorf("signature has %d characters", len(signature))
	}
	raw, err := encoding.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("signature is not base64")
	}
	return rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest([]byte(timestamp), []byte(nonce), body), raw)
}

// digest is SHA-256 over parts, each followed by a newline: what both sides sign.
func digest(parts ...[]byte) []byte {
	hash := sha256.New()
	newline := []byte{'\n'}
	for _, part := range parts {
		hash.Write(part)
		hash.Write(newline)
	}
	return hash.Sum(nil)
}

// checkAge refuses a genuine timestamp that is too far from now.
func checkAge(timestamp string, now time.Time) error {
	seconds, err := strconv.ParseUint(timestamp, 10, 40) // digits alone; 40 bits reach beyond the year 36,000
	if err != nil {
		return fmt.Errorf("%w: Wechatpay-Timestamp is not a number of seconds", channel.ErrMalformed)
	}
	if age := now.Unix() - int64(seconds); age >= windowSeconds || age <= -windowSeconds {
		return fmt.Errorf("%w: signed %d s before now", channel.ErrStale, age)
	}
	return nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= headerBytesMax
}
