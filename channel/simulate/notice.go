package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
)

const (
	// delayedFor is the longest that a delayed notice is late.
	delayedFor = 5 * time.Minute
	// reorderedFor is the longest that a reordered notice waits for a later one to overtake it.
	reorderedFor = time.Minute
	// answerBytesMax bounds what is read of a merchant's answer: the longest that a channel wants is a signed form.
	answerBytesMax = 64 << 10
)

// notice is the news of a payment or of a refund's end, and how its deliveries went.
type notice struct {
	desk    *desk
	payment *payment // one of these is set
	refund  *refund
	revises bool      // the refund had failed, and is paid after all
	url     string    // where it goes instead of the merchant's own address; NoNotice: nowhere
	lost    bool      // it never arrives
	due     time.Time // of the first delivery

	mu         sync.Mutex // guards what follows
	deliveries int
	probed     int // probes that were acknowledged: the merchant has not seen that the signature is wrong
	state      NoticeState
}

// NoNotice as a notify_url says that nobody is told.
const NoNotice = "none"

// NoticeState is how far a notice is.
type NoticeState string

// The states. A notice is waiting first, and stays what it becomes.
const (
	NoticeWaiting      NoticeState = "waiting"
	NoticeAcknowledged NoticeState = "acknowledged"
	NoticeGivenUp      NoticeState = "given_up" // the channel's last pause is over
	NoticeNone         NoticeState = "none"     // the channel has no notice of this, or nobody wants one
	NoticeLost         NoticeState = "lost"     // on request: none of it ever arrives
)

// acknowledged is the line of the journal that ends the deliveries.
func (n *notice) acknowledged() *acknowledgedLine {
	if n.payment != nil {
		return &acknowledgedLine{Channel: n.desk.source, ChannelTxnID: n.payment.ChannelTxnID}
	}
	return &acknowledgedLine{Channel: n.desk.source, RefundNumber: n.refund.line.Number, Revised: n.revises}
}

// number is what the merchant called it: the order or the refund. Dice decide by it, so that a seed means the same in another run.
func (n *notice) number() string {
	switch {
	case n.payment != nil:
		return n.payment.OutTradeNo
	case n.revises:
		return n.refund.line.Number + ", paid after all"
	default:
		return n.refund.line.Number
	}
}

// content is what the notice tells: of a refund that was revised, still the end that it is the news of.
func (n *notice) content() channel.Notice {
	if p := n.payment; p != nil {
		return channel.Notice{Channel: n.desk.source, Event: channel.EventPaid, OutTradeNo: p.OutTradeNo, ChannelTxnID: p.ChannelTxnID,
			Amount: p.Amount, OccurredAt: p.PaidAt}
	}
	n.desk.mu.Lock()
	defer n.desk.mu.Unlock()
	told := n.refund.told(n.refund.line.End)
	if n.revises {
		told = n.refund.told(channel.RefundSucceeded)
	}
	return channel.Notice{Channel: n.desk.source, Event: channel.EventRefund, OutTradeNo: told.Payment.OutTradeNo,
		ChannelTxnID: told.Payment.ChannelTxnID, Amount: told.Amount, RefundedTotal: told.RefundedTotal, OccurredAt: told.EndedAt,
		RefundNumber: told.Number, Refund: channel.RefundAnswer{State: told.State, Reason: told.Reason, EndedAt: told.EndedAt}}
}

// courier delivers the notices of all desks, each in a goroutine of its own.
type courier struct {
	clock     clock.Timer
	client    *http.Client
	notifyURL string // the merchant's own address, without the channel's name at the end
	scale     float64
	calls     chan struct{} // bounds the deliveries under way
	logger    *slog.Logger

	rang chan struct{} // there are waiting notices

	mu      sync.Mutex    // guards what follows
	waiting []*notice     // not begun
	changed chan struct{} // closed, and replaced, when a notice's state changes
}

// scaled is a pause of a channel as long as it lasts here.
func (c *courier) scaled(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) / c.scale)
}

// send queues a notice; run begins it.
func (c *courier) send(n *notice) {
	if n.url == NoNotice || n.lost {
		state := NoticeNone
		if n.url != NoNotice {
			state = NoticeLost
		}
		c.become(n, state)
		return
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, n)
	c.mu.Unlock()
	select {
	case c.rang <- struct{}{}:
	default: // it rings already
	}
}

// run delivers until ctx ends, and waits for what is under way.
func (c *courier) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c.mu.Lock()
		begun := c.waiting
		c.waiting = nil
		c.mu.Unlock()
		for _, n := range begun {
			running.Go(func() { c.pursue(ctx, n) })
		}
		select {
		case <-c.rang:
		case <-ctx.Done():
			return
		}
	}
}

// pursue delivers a notice until it is acknowledged, given up, or ctx ends.
func (c *courier) pursue(ctx context.Context, n *notice) {
	faults, dice := n.desk.misbehaviour()
	number := n.number()
	pause := n.due.Sub(c.clock.Now())
	if dice.hits(faults.Delays, "delays", number) {
		pause = max(pause, 0) + c.scaled(time.Duration(dice.roll(uint64(delayedFor), "delays by", number)))
	}
	if !c.pause(ctx, pause) {
		return
	}
	if dice.hits(faults.Reorders, "reorders", number) {
		select {
		case <-n.desk.nextDelivery():
		case <-c.clock.After(c.scaled(reorderedFor)):
		case <-ctx.Done():
			return
		}
	}
	repeats := dice.hits(faults.Repeats, "repeats", number)
	for _, pause := range append(n.desk.dialect.Redeliveries(), -1) {
		acknowledged, err := c.deliver(ctx, n)
		switch {
		case ctx.Err() != nil:
			return // the next start goes on
		case errors.Is(err, ErrNoNotice):
			c.become(n, NoticeNone)
			return
		case err != nil:
			c.logger.Debug("notice was not acknowledged", slog.String("channel", string(n.desk.source)), slog.String("number", n.number()),
				slog.Any("error", err))
		}
		if acknowledged && !repeats {
			c.acknowledged(n)
			return
		}
		if acknowledged {
			repeats = false
		}
		if pause < 0 || !c.pause(ctx, c.scaled(pause)) {
			break
		}
	}
	if ctx.Err() == nil {
		c.become(n, NoticeGivenUp)
		c.logger.Warn("notice is given up", slog.String("channel", string(n.desk.source)), slog.String("number", n.number()))
	}
}

// acknowledged ends the deliveries. It waits for the disk only so that a later start repeats as little as it can.
func (c *courier) acknowledged(n *notice) {
	c.become(n, NoticeAcknowledged)
	written := n.desk.journal.add(line{Acknowledged: n.acknowledged()})
	if err := n.desk.journal.wait(written); err != nil {
		c.logger.Error("acknowledgement was not kept", slog.Any("error", err))
	}
}

// become changes the state of a waiting notice.
func (c *courier) become(n *notice, state NoticeState) {
	n.mu.Lock()
	n.state = state
	n.mu.Unlock()
	c.mu.Lock()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

// pause waits, and says whether ctx still goes on.
func (c *courier) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-c.clock.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver sends a notice once, or twice at once, and says whether it was acknowledged. A notice that the dialect cannot word is
// ErrNoNotice, wrapped.
func (c *courier) deliver(ctx context.Context, n *notice) (acknowledged bool, err error) {
	faults, dice := n.desk.misbehaviour()
	n.mu.Lock()
	n.deliveries++
	delivery := fmt.Sprintf("%s/%d", n.number(), n.deliveries)
	n.mu.Unlock()
	if err := c.probe(ctx, n, dice.hits(faults.Probes, "probes", delivery)); err != nil {
		return false, err
	}
	if dice.hits(faults.Duplicates, "duplicates", delivery) {
		var other sync.WaitGroup
		var otherErr error
		other.Go(func() { _, otherErr = c.deliverOnce(ctx, n) })
		defer func() {
			other.Wait()
			err = errors.Join(err, otherErr)
			n.mu.Lock()
			n.deliveries++
			n.mu.Unlock()
		}()
	}
	acknowledged, err = c.deliverOnce(ctx, n)
	n.desk.delivered()
	return acknowledged, err
}

func (c *courier) deliverOnce(ctx context.Context, n *notice) (bool, error) {
	message, err := n.desk.dialect.Notice(n.content(), c.clock.Now())
	if err != nil {
		return false, fmt.Errorf("word notice: %w", err)
	}
	return c.post(ctx, n, message)
}

// prober is a dialect whose channel sends signatures that are wrong on purpose.
type prober interface {
	Probe(notice channel.Notice, now time.Time) (Message, error)
}

// probe sends a notice that a merchant must not acknowledge, and counts it if it does.
func (c *courier) probe(ctx context.Context, n *notice, wanted bool) error {
	p, able := n.desk.dialect.(prober)
	if !wanted || !able {
		return nil
	}
	message, err := p.Probe(n.content(), c.clock.Now())
	if err != nil {
		return fmt.Errorf("word probe: %w", err)
	}
	if acknowledged, err := c.post(ctx, n, message); err != nil || !acknowledged {
		return nil // what becomes of a probe is nobody's loss
	}
	n.mu.Lock()
	n.probed++
	n.mu.Unlock()
	return nil
}

// post sends a message to the merchant, and says whether its answer ends the deliveries.
func (c *courier) post(ctx context.Context, n *notice, message Message) (bool, error) {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, n.desk.dialect.AnswerWithin())
	defer cancel()
	url := n.url
	if url == "" {
		url = c.notifyURL + "/" + string(n.desk.source)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(message.Body))
	if err != nil {
		return false, fmt.Errorf("make request: %w", err)
	}
	request.Header = message.Header.Clone()
	response, err := c.client.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }() // it was read; there is nothing to lose
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	if !n.desk.dialect.Acknowledged(response.StatusCode, body) {
		return false, fmt.Errorf("merchant answered %d", response.StatusCode)
	}
	return true, nil
}
