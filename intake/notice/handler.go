package notice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

const (
	// BodyBytesMax is above the largest notice that any channel documents; real ones have some kilobytes.
	BodyBytesMax = 1<<20 + 1<<17
	// answerWithin is below the shortest time that a channel waits: WeChat Pay's 5 s.
	answerWithin = 4 * time.Second
	// noticesMax is how many notices are under way at once. At some milliseconds a notice it is far more than channels send.
	noticesMax = 256
	// largeMax is how many of them have more than usualBytes, or are still being read beyond that: their bodies have some 36 MiB at most.
	largeMax = 32
	// usualBytes is what almost every notice fits in. All of a body is read before a notice is counted as under way: who sends slowly
	// keeps nobody out, and holds no more memory than what he has sent.
	usualBytes = 16 << 10
)

// Ports are the channels as configured now. A channel/roster.Roster is one.
type Ports interface {
	Port(tasks.Source) (channel.Port, bool)
}

// Config configures a Handler.
type Config struct {
	// Ports verify and read notices, and word the answers. Required. It is asked anew for each notice.
	Ports Ports
	// Pool reads the refunds that were sent. Required; the caller owns it.
	Pool *pgxpool.Pool
	// Recharges finds the recharge orders. Required.
	Recharges *recharge.Orders
	// Client accepts requests. What no producer's order explains is accepted as its own producer's. Required; the caller closes it.
	Client *tasks.Client
	// Registerer takes the handler's metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger is told of what a person must look at. Defaults to nobody.
	Logger *slog.Logger
	// Clock judges the age of signatures and measures durations. Defaults to the system's.
	Clock clock.Clock
}

// Handler serves POST /v1/notices/{channel}. It may be used by many goroutines at once, and holds nothing that must be closed.
type Handler struct {
	config   Config
	payments *Payments
	metrics  *metrics
	slots    chan struct{} // one for each notice under way
	large    chan struct{} // one for each large body, from before its rest is read until its notice has been taken
}

// NewHandler makes a handler. It asks nothing until it is asked.
func NewHandler(config Config) *Handler {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Clock == nil {
		config.Clock = clock.System
	}
	return &Handler{config: config, payments: &Payments{Recharges: config.Recharges, Client: config.Client, Logger: config.Logger},
		metrics: newMetrics(config.Registerer), slots: make(chan struct{}, noticesMax), large: make(chan struct{}, largeMax)}
}

// ServeHTTP implements http.Handler; the pattern must have a wildcard {channel}.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	source := tasks.Source(r.PathValue("channel"))
	defer func() {
		if value := recover(); value != nil { // of a port's wording: no answer of the channel's own can be given
			h.panicked(r.Context(), source, value)
			h.metrics.taken(source, resultFailed)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}()
	port, found := h.config.Ports.Port(source)
	if !found {
		h.metrics.taken(source, resultNoChannel)
		refuseChannel(w)
		return
	}
	begun := h.config.Clock.Now()
	became, problem := h.answer(w, r, source, port)
	now := h.config.Clock.Now()
	reply := port.Reply(problem, now)
	h.metrics.taken(source, became)
	h.metrics.took(source, now.Sub(begun))
	write(w, reply)
}

// write answers as the channel wants it.
func write(w http.ResponseWriter, reply channel.Reply) {
	if reply.ContentType != "" {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	w.WriteHeader(reply.Status)
	if len(reply.Body) > 0 {
		_, _ = w.Write(reply.Body) // a channel that has gone comes again
	}
}

// refuseChannel answers for a channel that is not configured, as the API's other routes do.
func refuseChannel(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"type":"urn:settled:problem:not-found","title":"Not found","status":404,"detail":"this channel is not configured"}`)
}

// answer takes one notice and says what became of it. A problem tells the channel to come again; when the time is up, what waits is
// withdrawn, and what is being committed may still be.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, source tasks.Source, port channel.Port) (Result, error) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	body, leave, err := h.enter(ctx, w, r)
	if err != nil {
		return resultOf(err), err
	}
	type taken struct {
		became  Result
		problem error
	}
	done := make(chan taken, 1)
	go func() {
		defer leave()
		became, problem := h.take(ctx, source, port, r.Header, body)
		done <- taken{became, problem}
	}()
	select {
	case t := <-done:
		return t.became, t.problem
	case <-ctx.Done():
		return resultUnavailable, fmt.Errorf("take a notice: %w", context.Cause(ctx))
	}
}

// enter reads the raw bytes, as they were signed, and takes a slot, which leave gives back. A sender who is slower than the channel would
// wait is cut off: the deadline stays, so that the server does not wait for the rest either before it answers.
func (h *Handler) enter(ctx context.Context, w http.ResponseWriter, r *http.Request) (_ []byte, leave func(), _ error) {
	connection := http.NewResponseController(w)
	// A server's connection knows the system's time only. One that knows no deadlines has its own.
	_ = connection.SetReadDeadline(clock.System.Now().Add(answerWithin))
	body, forget, err := h.read(ctx, http.MaxBytesReader(w, r.Body, BodyBytesMax))
	if err != nil {
		return nil, nil, err
	}
	_ = connection.SetReadDeadline(time.Time{}) // an expired one would end ctx
	if err := wait(ctx, h.slots); err != nil {
		forget()
		return nil, nil, err
	}
	return body, func() { forget(); <-h.slots }, nil
}

// read reads a body. Who sends more than a usual notice waits for a place among such bodies, which forget gives back.
func (h *Handler) read(ctx context.Context, raw io.Reader) (body []byte, forget func(), err error) {
	body, err = io.ReadAll(io.LimitReader(raw, usualBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: body: %w", channel.ErrMalformed, err)
	}
	if len(body) <= usualBytes {
		return body, func() {}, nil
	}
	if err := wait(ctx, h.large); err != nil {
		return nil, nil, err
	}
	rest, err := io.ReadAll(raw)
	if err != nil {
		<-h.large
		return nil, nil, fmt.Errorf("%w: body: %w", channel.ErrMalformed, err)
	}
	return append(body, rest...), func() { <-h.large }, nil
}

// wait takes a place as soon as there is one.
func wait(ctx context.Context, places chan<- struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other notices: %w", context.Cause(ctx))
	}
}

// take verifies a notice and accepts what it says. It never panics.
func (h *Handler) take(ctx context.Context, source tasks.Source, port channel.Port, header http.Header, body []byte) (became Result, problem error) {
	defer func() {
		if value := recover(); value != nil {
			h.panicked(ctx, source, value)
			became, problem = resultFailed, errPanicked
		}
	}()
	notice, err := port.ReadNotice(header, body, h.config.Clock.Now())
	if err == nil {
		became, err = h.accept(ctx, notice)
	}
	if err != nil {
		became = resultOf(err)
		h.config.Logger.LogAttrs(ctx, became.level(), "notice was not taken", slog.String("channel", string(source)),
			slog.String("result", string(became)), slog.Any("error", err))
	}
	return became, err
}

// accept accepts what a genuine notice says.
func (h *Handler) accept(ctx context.Context, notice channel.Notice) (Result, error) {
	switch notice.Event {
	case channel.EventPaid:
		return h.payments.Accept(ctx, notice)
	case channel.EventRefund:
		return h.acceptRefund(ctx, notice)
	default:
		return resultAcknowledged, nil
	}
}

// contradicted records that a channel has said two things of one payment or refund (N5). The first one stands.
func contradicted(ctx context.Context, logger *slog.Logger, notice channel.Notice, detail error) Result {
	logger.LogAttrs(ctx, slog.LevelError, "channel contradicts what it said before", slog.String("channel", string(notice.Channel)),
		slog.String("channel_txn_id", notice.ChannelTxnID), slog.String("refund_number", notice.RefundNumber), slog.Any("error", detail))
	return ResultContradicted
}

var errPanicked = errors.New("the notice could not be worked on")

func (h *Handler) panicked(ctx context.Context, source tasks.Source, value any) {
	h.config.Logger.LogAttrs(ctx, slog.LevelError, "notice panicked", slog.String("channel", string(source)),
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
}
