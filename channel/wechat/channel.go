package wechat

import (
	"crypto/cipher"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
)

// signatureType is the only signature scheme of this package: what WeChat Pay uses when it names none, and what we sign with.
const signatureType = "WECHATPAY2-SHA256-RSA2048"

var _ channel.Port = (*Channel)(nil)

// Channel is WeChat Pay as one merchant has it. It is immutable; its methods may be called at the same time.
type Channel struct {
	mchID, appID string
	keys         platformKeys
	aead         cipher.AEAD // of the APIv3 key

	merchantSerial     string
	merchantKey        *rsa.PrivateKey
	baseURL, notifyURL string // without a slash at the end; notifyURL may be empty
	answerSerial       string // of the public key that answers shall be signed with; empty: the channel chooses
	client             *http.Client
	clock              clock.Clock
}

// WithClock returns the same channel by another clock, which dates requests and judges the age of answers. Load gives the system's.
// Notices are judged by the time that ReadNotice is given.
func (c *Channel) WithClock(clock clock.Clock) *Channel {
	other := *c
	other.clock = clock
	return &other
}

// CertificateExpiry is when the last of the platform certificates ends; false when there is none, because public keys have no end.
func (c *Channel) CertificateExpiry() (time.Time, bool) {
	var last time.Time
	for _, key := range c.keys {
		if key.certified && key.notAfter.After(last) {
			last = key.notAfter
		}
	}
	return last, !last.IsZero()
}

// String names the merchant and shows no key.
func (c Channel) String() string { return "WeChat Pay merchant " + c.mchID }

// Format writes String whatever the verb, since %d and %#v would write the keys (W7). A value receiver, so that *c is covered as well.
func (c Channel) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) } // as fmt itself ignores it

// MarshalJSON writes String.
func (c Channel) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
