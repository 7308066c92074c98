package alipay

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
)

// signType is the only signature scheme of this package: RSA with SHA-256. Alipay's older RSA is with SHA-1.
const signType = "RSA2"

var _ channel.Port = (*Channel)(nil)

// Channel is Alipay as one app of one seller has it. It is immutable; its methods may be called at the same time.
type Channel struct {
	appID, sellerID string
	keys            alipayKeys

	appKey                *rsa.PrivateKey
	appSerial, rootSerial string // of the app's and Alipay's root certificates; both empty without certificates
	gatewayURL            string
	client                *http.Client
	clock                 clock.Clock
}

// WithClock returns the same channel by another clock, which dates requests and says which certificates are valid for answers. Load
// gives the system's. Notices are judged by the time that ReadNotice is given.
func (c *Channel) WithClock(clock clock.Clock) *Channel {
	other := *c
	other.clock = clock
	return &other
}

// CertificateExpiry is when the last of Alipay's certificates ends; false when there is none, because bare keys have no end.
func (c *Channel) CertificateExpiry() (time.Time, bool) {
	var last time.Time
	for _, key := range c.keys {
		if key.serial != "" && key.notAfter.After(last) {
			last = key.notAfter
		}
	}
	return last, !last.IsZero()
}

// String names the app and the seller and shows no key.
func (c Channel) String() string { return "Alipay app " + c.appID + " of seller " + c.sellerID }

// Format writes String whatever the verb, since %d and %#v would write the keys (A8). A value receiver, so that *c is covered as well.
func (c Channel) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) } // as fmt itself ignores it

// MarshalJSON writes String.
func (c Channel) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
