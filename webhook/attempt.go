package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// target is where an endpoint's messages go.
type target struct {
	url     string
	secrets []Secret
}

// attempt is what became of one POST.
type attempt struct {
	made    bool   // false when it was not begun, or cut short because the process stops
	status  int    // 0 when there was no answer
	problem string // empty when it was delivered; nothing that the endpoint wrote
	wait    time.Duration
}

// leadsTo is the state of a message after its n-th attempt, and the pause before the next one.
func (a attempt) leadsTo(n int) (State, time.Duration) {
	if a.problem == "" {
		return Delivered, 0
	}
	pause, again := pauseAfter(n)
	if !again {
		return Dead, 0
	}
	return Waiting, max(pause, a.wait)
}

// endsPage says that the next message would fare alike: the endpoint is away or gone, or wants to be left alone.
func (a attempt) endsPage() bool { return a.status == 0 || a.status == http.StatusGone || a.wait > 0 }

// answerBytesMax is how much of an answer is read, so that its connection can be used again.
const answerBytesMax = 64 << 10

// attempt posts a message, and times it.
func (c *Courier) attempt(ctx context.Context, to target, d *due) attempt {
	begun := c.config.Clock.Now()
	a := c.post(ctx, to, d, begun)
	if a.status == 0 && ctx.Err() != nil {
		return attempt{}
	}
	result := resultDelivered
	if a.problem != "" {
		result = resultFailed
	}
	c.metrics.attempts.WithLabelValues(result).Observe(c.config.Clock.Now().Sub(begun).Seconds())
	a.made = true
	return a
}

func (c *Courier) post(ctx context.Context, to target, d *due, now time.Time) attempt {
	body, err := json.Marshal(d.message)
	if err != nil {
		return attempt{problem: "the message cannot be written"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return attempt{problem: "the url cannot be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "settled-webhook/1")
	sign(request.Header, d.id(), now, body, to.secrets...)
	answer, err := c.client.Do(request)
	if err != nil {
		return attempt{problem: problemOf(err)}
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, answerBytesMax))
	if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
		return attempt{status: answer.StatusCode}
	}
	return attempt{status: answer.StatusCode, problem: fmt.Sprintf("it answered %d", answer.StatusCode), wait: retryAfter(answer, now)}
}

// problemOf says in our own words why there was no answer. The error itself may hold the URL, with a producer's token in it, and what the
// other side wrote, such as a certificate's names.
func problemOf(err error) string {
	var lookup *net.DNSError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var network net.Error
	switch {
	case errors.Is(err, ErrPrivateAddress):
		return "its address is not public"
	case errors.Is(err, errPlain):
		return "its url is not https"
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "its host is not found"
	case errors.As(err, &lookup):
		return "its host could not be looked up"
	case errors.As(err, &certificate):
		return "its certificate is not trusted"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &alert):
		return "TLS failed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.As(err, &network) && network.Timeout():
		return "it did not answer in time"
	default:
		return "the connection failed"
	}
}
