package unionpaysim

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
)

// keptKeys are all keys as they are kept between processes. Certificates that have signed before are not: those who have our root go
// on to believe them.
type keptKeys struct {
	Root     keptKey `json:"root"`
	Middle   keptKey `json:"middle"`
	Merchant keptKey `json:"merchant"`
	Signer   keptKey `json:"signer"`
}

type keptKey struct {
	Private     []byte `json:"private"` // PKCS #8
	Certificate []byte `json:"certificate"`
}

// Keys implements simulate.KeyedDialect.
func (c *Channel) Keys() ([]byte, error) {
	c.mu.RLock()
	signer := c.signer
	c.mu.RUnlock()
	var kept keptKeys
	for _, pair := range []struct {
		from certified
		to   *keptKey
	}{{c.root, &kept.Root}, {c.middle, &kept.Middle}, {c.merchant, &kept.Merchant}, {signer, &kept.Signer}} {
		private, err := x509.MarshalPKCS8PrivateKey(pair.from.key)
		if err != nil {
			return nil, fmt.Errorf("encode the key of %s: %w", pair.from.certificate.Subject.CommonName, err)
		}
		*pair.to = keptKey{Private: private, Certificate: pair.from.certificate.Raw}
	}
	return json.Marshal(kept)
}

// Restore makes the simulated UnionPay that had these keys.
func Restore(clock clock.Clock, keys []byte) (*Channel, error) {
	var kept keptKeys
	if json.Unmarshal(keys, &kept) != nil {
		return nil, errors.New("kept keys of UnionPay cannot be read") // what was wrong would quote them
	}
	c := &Channel{clock: clock}
	for _, pair := range []struct {
		name string
		from keptKey
		to   *certified
	}{{"root", kept.Root, &c.root}, {"middle", kept.Middle, &c.middle}, {"merchant", kept.Merchant, &c.merchant},
		{"signer", kept.Signer, &c.signer}} {
		restored, err := pair.from.restore()
		if err != nil {
			return nil, fmt.Errorf("kept key of the %s: %w", pair.name, err)
		}
		*pair.to = restored
	}
	return c, nil
}

func (k keptKey) restore() (certified, error) {
	key, err := simulate.RestoreRSA(k.Private)
	if err != nil {
		return certified{}, err
	}
	certificate, err := x509.ParseCertificate(k.Certificate)
	if err != nil || !key.PublicKey.Equal(certificate.PublicKey) {
		return certified{}, errors.New("has no certificate")
	}
	return certified{key: key, certificate: certificate}, nil
}
