package alipaysim

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
)

// keptKeys is the form of Keys.
type keptKeys struct {
	Root    keptKey   `json:"root"`
	App     keptKey   `json:"app"`
	Signing Signing   `json:"signing"`
	Keys    []keptKey `json:"keys"`
}

type keptKey struct {
	Private     []byte `json:"private"` // in PKCS #8
	Certificate []byte `json:"certificate,omitempty"`
}

// Keys implements simulate.KeyedDialect.
func (c *Channel) Keys() ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	kept := make([]keptKey, 0, 2+len(c.keys))
	for _, key := range append([]certifiedKey{c.root, c.app}, c.keys...) {
		private, err := x509.MarshalPKCS8PrivateKey(key.private)
		if err != nil {
			return nil, fmt.Errorf("encode a key: %w", err)
		}
		kept = append(kept, keptKey{Private: private, Certificate: key.certificate})
	}
	return json.Marshal(keptKeys{Root: kept[0], App: kept[1], Signing: c.signing, Keys: kept[2:]})
}

// Restore makes the simulated Alipay that had these keys.
func Restore(clock clock.Clock, keys []byte) (*Channel, error) {
	var kept keptKeys
	if json.Unmarshal(keys, &kept) != nil || len(kept.Keys) == 0 {
		return nil, errors.New("kept keys of Alipay cannot be read") // what was wrong would quote them
	}
	c := &Channel{clock: clock, signing: kept.Signing}
	var err error
	if c.root, err = kept.Root.restore(); err != nil {
		return nil, fmt.Errorf("root's key: %w", err)
	}
	if c.app, err = kept.App.restore(); err != nil {
		return nil, fmt.Errorf("app's key: %w", err)
	}
	for i, key := range kept.Keys {
		restored, err := key.restore()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		c.keys = append(c.keys, restored)
	}
	return c, nil
}

func (k keptKey) restore() (certifiedKey, error) {
	private, err := simulate.RestoreRSA(k.Private)
	if err != nil {
		return certifiedKey{}, err
	}
	return withSerial(private, k.Certificate)
}
