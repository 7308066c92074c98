package unionpay

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

var _ channel.Port = (*Channel)(nil)

// Channel is UnionPay as one merchant has it. It is immutable; its methods may be called at the same time.
type Channel struct {
	merID   string
	signers signers

	certID                      string // of the merchant's certificate: its serial number in decimal
	merchantKey                 *rsa.PrivateKey
	backTransURL, queryTransURL string
	backURL                     string // where notices of refunds go
	client                      *http.Client
	clock                       clock.Clock
}

// WithClock returns the same channel by another clock, which judges the certificates of answers. Load gives the system's. Notices are
// judged by the time that ReadNotice is given.
func (c *Channel) WithClock(clock clock.Clock) *Channel {
	other := *c
	other.clock = clock
	return &other
}

// CertificateExpiry is when the last of the issuers ends whose certificates sign for UnionPay. Those themselves come with each message.
func (c *Channel) CertificateExpiry() (time.Time, bool) {
	var last time.Time
	for _, issuer := range c.signers.middles {
		ends := issuer.certificate.NotAfter
		if issuer.root.NotAfter.Before(ends) {
			ends = issuer.root.NotAfter
		}
		if ends.After(last) {
			last = ends
		}
	}
	return last, !last.IsZero()
}

// String names the merchant and shows no key.
func (c Channel) String() string { return "UnionPay merchant " + c.merID }

// Format writes String whatever the verb, since %d and %#v would write the key (U7). A value receiver, so that *c is covered as well.
func (c Channel) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) } // as fmt itself ignores it

// MarshalJSON writes String.
func (c Channel) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
