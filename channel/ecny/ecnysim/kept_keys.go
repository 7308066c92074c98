package ecnysim

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/internal/clock"
)

// keptKeys is the form of Keys. Private keys are their 32 bytes.
type keptKeys struct {
	MerchantKey []byte   `json:"merchant_key"`
	AppSecret   string   `json:"app_secret"`
	Keys        [][]byte `json:"keys"`
}

// Keys implements simulate.KeyedDialect.
func (c *Channel) Keys() ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	kept := keptKeys{MerchantKey: rawKey(c.merchantKey), AppSecret: c.appSecret}
	for _, key := range c.keys {
		kept.Keys = append(kept.Keys, rawKey(key))
	}
	return json.Marshal(kept)
}

// Restore makes the simulated bank that had these keys.
func Restore(clock clock.Clock, keys []byte) (*Channel, error) {
	var kept keptKeys
	if json.Unmarshal(keys, &kept) != nil || len(kept.Keys) == 0 || kept.AppSecret == "" {
		return nil, errors.New("kept keys of the bank cannot be read") // what was wrong would quote them
	}
	merchantKey, err := sm2.ParseRawPrivateKey(kept.MerchantKey)
	if err != nil {
		return nil, errors.New("merchant's key is no SM2 private key")
	}
	c := &Channel{clock: clock, merchantKey: merchantKey, appSecret: kept.AppSecret}
	for i, raw := range kept.Keys {
		key, err := sm2.ParseRawPrivateKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d of the bank is no SM2 private key", i)
		}
		c.keys = append(c.keys, key)
	}
	return c, nil
}

// rawKey is a private key's number, in all its bytes.
func rawKey(key *sm2.PrivateKey) []byte { return key.D.FillBytes(make([]byte, 32)) }
