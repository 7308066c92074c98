package ecny

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
)

var _ channel.Port = (*Channel)(nil)

// Channel is digital RMB as one merchant has it through its bank. It is immutable; its methods may be called at the same time.
type Channel struct {
	merID, userID    string
	appID, appSecret string
	merchantKey      *sm2.PrivateKey
	bankKeys         bankKeys

	baseURL, notifyURL string // without a slash at the end; notifyURL may be empty
	client             *http.Client
	clock              clock.Clock
}

// WithClock returns the same channel by another clock, which dates requests. Load gives the system's. Notices are judged by the time
// that ReadNotice is given.
func (c *Channel) WithClock(clock clock.Clock) *Channel {
	other := *c
	other.clock = clock
	return &other
}

// String names the merchant and shows no key.
func (c Channel) String() string { return "e-CNY merchant " + c.merID }

// Format writes String whatever the verb, since %d and %#v would write the keys (E8). A value receiver, so that *c is covered as well.
func (c Channel) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) } // as fmt itself ignores it

// MarshalJSON writes String.
func (c Channel) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
