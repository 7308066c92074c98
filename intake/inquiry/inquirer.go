package inquiry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

const (
	// callsMax is how many orders one channel is asked about at once by one process.
	callsMax = 8
	// perCall is how many orders are claimed for each of them: a page's answers are stored together.
	perCall = 4
	// lookMax is how many due orders are looked at together; almost all of them are known as paid.
	lookMax = 500
	// callTimeout bounds one question, as it does a refund's.
	callTimeout = 15 * time.Second
	// storeTimeout bounds accepting a payment, and storing what a page came to, also while the process stops.
	storeTimeout = 15 * time.Second
	// lease is how long claimed orders are left to the process that claimed them. It must outlast a page whose every question and answer
	// takes its time: 135 s. Asking twice does no harm.
	lease = 3 * time.Minute
	// pollEvery is how often it is asked what is due.
	pollEvery = 10 * time.Second
	// countEvery is how often what waits is counted.
	countEvery = time.Minute
	// countMax is how many are counted for each channel: above it nobody asks how many there are.
	countMax = 10_000
	// pauseMin and pauseMax bound the pause of an order about which the channel did not answer.
	pauseMin = time.Minute
	pauseMax = time.Hour
)

// Config configures an Inquirer.
type Config struct {
	// Ports are the channels as configured now. Required. They are asked for anew for each page.
	Ports notice.Ports
	// Pool acts as the service. Each channel needs a connection for milliseconds at a time. Required; the caller owns it.
	Pool *pgxpool.Pool
	// Payments accepts what was paid. Required.
	Payments *notice.Payments
	// Clock dates what is due, and is waited on between rounds; it should agree with that of the API, which dates orders. Defaults to the
	// system's.
	Clock clock.Timer
	// Registerer takes the metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger is told of payments whose notices did not come, and of what fails. Defaults to nobody.
	Logger *slog.Logger
}

// Inquirer asks channels about recharge orders.
type Inquirer struct {
	config  Config
	metrics *metrics

	mu   sync.Mutex
	away map[tasks.Source]bool // channels that answered nothing last
}

// New makes an inquirer; Run it once. Several processes may run one.
func New(config Config) *Inquirer {
	if config.Clock == nil {
		config.Clock = clock.System
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Inquirer{config: config, metrics: newMetrics(config.Registerer), away: map[tasks.Source]bool{}}
}

// Run asks until ctx ends, and waits for what is under way. It returns nil then.
func (q *Inquirer) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, source := range tasks.Channels() {
		running.Go(func() { q.repeat(ctx, pollEvery, func() (bool, error) { return q.page(ctx, source) }) })
	}
	running.Go(func() { q.repeat(ctx, countEvery, func() (bool, error) { return false, q.count(ctx) }) })
	running.Wait()
	return nil
}

// repeat does something every so often, and at once while there is more of it.
func (q *Inquirer) repeat(ctx context.Context, every time.Duration, do func() (more bool, err error)) {
	for ctx.Err() == nil {
		more, err := do()
		if err != nil && ctx.Err() == nil {
			q.metrics.errors.Inc()
			q.config.Logger.LogAttrs(ctx, slog.LevelWarn, "inquiries wait, will try again", slog.String("error", err.Error()))
		}
		if more && err == nil {
			continue
		}
		select {
		case <-q.config.Clock.After(every):
		case <-ctx.Done():
		}
	}
}

// page asks a channel about orders that are due. more says that it answers and may have others. When ctx ends, what is under way is cut
// short and given back.
func (q *Inquirer) page(ctx context.Context, source tasks.Source) (more bool, err error) {
	port, found := q.config.Ports.Port(source)
	if !found {
		return false, nil
	}
	share, limit := q.share(source)
	claimed, full, err := q.claim(ctx, source, limit)
	if err != nil {
		return false, err
	}
	if len(claimed) == 0 {
		return full, nil
	}
	answers := q.askAll(ctx, port, claimed, share)
	answering := q.note(source, answers)
	// What the channel said must be stored although this process stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return full && answering, q.store(ctx, claimed, answers)
}

// share is how many orders a channel is asked about at once, and in one page.
func (q *Inquirer) share(source tasks.Source) (atOnce, inAll int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away[source] {
		return 1, 1
	}
	return callsMax, callsMax * perCall
}

// note remembers whether a channel answers.
func (q *Inquirer) note(source tasks.Source, answers []answer) (answering bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away[source] = false
	for _, a := range answers {
		if a.asked && a.became == resultUnanswered {
			q.away[source] = true
		}
	}
	return !q.away[source]
}
