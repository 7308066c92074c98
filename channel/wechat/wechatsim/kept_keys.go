package wechatsim

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
)

// keptKeys is the form of Keys. Private keys are in PKCS #8.
type keptKeys struct {
	APIv3Key       string    `json:"api_v3_key"`
	MerchantKey    []byte    `json:"merchant_key"`
	MerchantSerial string    `json:"merchant_serial"`
	Signing        Signing   `json:"signing"`
	Keys           []keptKey `json:"keys"`
}

type keptKey struct {
	Private     []byte `json:"private"`
	Serial      string `json:"serial"`
	Certificate []byte `json:"certificate,omitempty"`
}

// Keys implements simulate.KeyedDialect.
func (c *Channel) Keys() ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	merchantKey, err := x509.MarshalPKCS8PrivateKey(c.merchantKey)
	if err != nil {
		return nil, fmt.Errorf("encode the merchant's key: %w", err)
	}
	kept := keptKeys{APIv3Key: c.apiV3Key, MerchantKey: merchantKey, MerchantSerial: c.merchantSerial, Signing: c.signing}
	for _, key := range c.keys {
		private, err := x509.MarshalPKCS8PrivateKey(key.private)
		if err != nil {
			return nil, fmt.Errorf("encode key %s: %w", key.serial, err)
		}
		kept.Keys = append(kept.Keys, keptKey{Private: private, Serial: key.serial, Certificate: key.certificate})
	}
	return json.Marshal(kept)
}

// Restore makes the simulated WeChat Pay that had these keys.
func Restore(clock clock.Clock, keys []byte) (*Channel, error) {
	var kept keptKeys
	if json.Unmarshal(keys, &kept) != nil || len(kept.Keys) == 0 {
		return nil, errors.New("kept keys of WeChat Pay cannot be read") // what was wrong would quote them
	}
	merchantKey, err := simulate.RestoreRSA(kept.MerchantKey)
	if err != nil {
		return nil, fmt.Errorf("merchant's key: %w", err)
	}
	c := &Channel{clock: clock, apiV3Key: kept.APIv3Key, merchantKey: merchantKey, merchantSerial: kept.MerchantSerial, signing: kept.Signing}
	for _, key := range kept.Keys {
		private, err := simulate.RestoreRSA(key.Private)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key.Serial, err)
		}
		c.keys = append(c.keys, signingKey{private: private, serial: key.Serial, certificate: key.Certificate})
	}
	return c, nil
}
