package channeltest

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
)

// Form is the body of a message whose fields come as a form.
func Form(fields map[string]string) []byte {
	values := url.Values{}
	for name, value := range fields {
		values.Set(name, value)
	}
	return []byte(values.Encode())
}

// CheckRefusal checks what holds of every refusal of a notice: nothing was read, the problem is one that channel.Port names, and the reply
// to it ends no deliveries.
func CheckRefusal(t testing.TB, port channel.Port, notice channel.Notice, problem error, now time.Time) {
	t.Helper()
	if notice != (channel.Notice{}) {
		t.Errorf("refused with %v, and read %+v", problem, notice)
	}
	known := []error{channel.ErrNotGenuine, channel.ErrProbe, channel.ErrStale, channel.ErrMalformed, channel.ErrNotOurs}
	if !slices.ContainsFunc(known, func(err error) bool { return errors.Is(problem, err) }) {
		t.Errorf("refused with %v", problem)
	}
	if reply := port.Reply(problem, now); reply.Status < 400 {
		t.Errorf("%v is answered with %d %s", problem, reply.Status, reply.Body)
	}
}

// Answer is an HTTP transport that answers every request with itself.
type Answer struct {
	Status int
	Body   string
}

// RoundTrip implements http.RoundTripper.
func (a Answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.Status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.Body)), Request: r}, nil
}
