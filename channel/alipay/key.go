package alipay

import (
	"crypto"
	"crypto/md5" // certificates are named by it; it protects nothing
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/settled-dev/settled/channel"
)

// alipayKey is a key with which Alipay signs.
type alipayKey struct {
	public *rsa.PublicKey
	// serial is its certificate's alipay_cert_sn, and notBefore and notAfter are when that is valid, both included. Empty: it is a bare
	// public key, which has no name and no end.
	serial              string
	notBefore, notAfter time.Time
}

func (k alipayKey) validAt(now time.Time) bool {
	return k.serial == "" || !now.Before(k.notBefore) && !now.After(k.notAfter)
}

// alipayKeys are all keys that may have signed: those of old and new together while one replaces the other.
type alipayKeys []alipayKey

// verify checks that the signature of the text is by the certificate that is named, or, when none is, by any of the keys, at the time
// now. It returns channel.ErrNotGenuine, wrapped. The serial is not under the signature: it only picks a key.
func (k alipayKeys) verify(text []byte, signature, serial string, now time.Time) error {
	sum := sha256.Sum256(text)
	reason := errors.New("no key is configured for its alipay_cert_sn")
	if serial == "" {
		reason = errors.New("no key is valid now")
	}
	for _, key := range k {
		if serial != "" && key.serial != serial {
			continue
		}
		if !key.validAt(now) {
			reason = fmt.Errorf("certificate %s is valid from %s to %s", key.serial, key.notBefore.Format(time.RFC3339),
				key.notAfter.Format(time.RFC3339))
			continue
		}
		if reason = key.verify(sum[:], signature); reason == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", channel.ErrNotGenuine, reason)
}

func (k alipayKey) verify(sum []byte, signature string) error {
	// The length is checked because the decoder drops newlines, Strict because it ignores the last bits: one signature, one form.
	encoding := base64.StdEncoding.Strict()
	if len(signature) != encoding.EncodedLen(k.public.Size()) {
		return fmt.Errorf("sign has %d characters", len(signature))
	}
	raw, err := encoding.DecodeString(signature)
	if err != nil {
		return errors.New("sign is not base64")
	}
	return rsa.VerifyPKCS1v15(k.public, crypto.SHA256, sum, raw)
}

// certificateSerial is the name that Alipay gives a certificate: MD5 of its issuer, most specific part first, and its serial number in
// decimal, without anything between.
func certificateSerial(certificate *x509.Certificate) string {
	sum := md5.Sum([]byte(certificate.Issuer.String() + certificate.SerialNumber.String()))
	return hex.EncodeToString(sum[:])
}
