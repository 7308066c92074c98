package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Channels lets shoppers recharge, buy and ask for refunds through simulated channels while every process of the system is killed
// again and again, and then compares the channels' own record with the books. Run it once.
type Channels struct {
	Name      string          // part of all keys, users and orders of the drill, letters and digits; a random one when empty
	API       string          // where the API will be served
	Metrics   string          // where the API's process will serve its metrics
	Simulator string          // where the simulated channels will be
	Key       string          // of the API, for everything
	Pool      *pgxpool.Pool   // reads the books
	Inbox     *Inbox          // is told what became of the drill's requests; the one endpoint of its producer, and served by the caller
	Cast      []child.Command // the system's processes, which the drill starts, kills and starts again
	Mishaps   []Mishap        // what may happen besides
	// Redeliver has what waits for the inbox delivered again, at once: what a killed worker had claimed comes after a lease of minutes.
	Redeliver func(context.Context) error
	// Inquire has the channels asked at once about orders that are not known as paid: settled itself would ask minutes later.
	Inquire func(context.Context) error
	// LostPercent of the recharges are paid without any notice, so that settled must ask for them. 0: none.
	LostPercent int
	For         time.Duration // how long shoppers shop and mishaps happen
	Shoppers    int
	Pause       time.Duration // of a shopper between two visits
	Patience    time.Duration // how long everything may take to settle afterwards
	Seed        uint64        // draws shoppers and mishaps
	Clock       clock.Timer
	Say         func(string) // told what is going on; may be nil
}

// ChannelsReport is what came of the drill.
type ChannelsReport struct {
	Run       string         `json:"run"`
	Seed      uint64         `json:"seed"`
	Mishaps   map[string]int `json:"mishaps"`
	Payments  int            `json:"payments"`  // by the channels' record: recharges, paid ones and those that were wrong
	Unnoticed int            `json:"unnoticed"` // of the payments, those that no notice told of
	Refunds   int            `json:"refunds"`   // by the channels' record
	Revised   int            `json:"revised"`   // of the refunds, those that failed and were paid after all
	Requests  int            `json:"requests"`  // that the shop was told are accepted
	Suspended int            `json:"suspended"` // payments that were booked to suspense
	Returned  int            `json:"returned"`  // of the refunds, those of suspended payments, sent back by themselves
	Told      int            `json:"told"`      // outcomes that webhooks told of
	Refused   int            `json:"refused"`   // notices that came before the API had loaded the keys that they were signed with
	Lost      []string       `json:"lost"`      // each says what is missing
	Doubled   []string       `json:"doubled"`   // each says what is there twice, or should not be
	Settled   time.Duration  `json:"settled_ns"`
}

// OK says that nothing was lost and nothing doubled.
func (r *ChannelsReport) OK() bool { return len(r.Lost)+len(r.Doubled) == 0 }

func (r *ChannelsReport) lost(format string, args ...any) {
	r.Lost = append(r.Lost, fmt.Sprintf(format, args...))
}

func (r *ChannelsReport) doubled(format string, args ...any) {
	r.Doubled = append(r.Doubled, fmt.Sprintf(format, args...))
}

const (
	readyTimeout = time.Minute
	// stopTimeout is how long the cast may take to end in order.
	stopTimeout = 30 * time.Second
)

// Run runs the drill. An error means that it could not be finished, or that something was refused which must not be.
func (d *Channels) Run(ctx context.Context) (report *ChannelsReport, err error) {
	if d.Name == "" {
		d.Name = uuid.NewString()[:8]
	}
	report = &ChannelsReport{Run: d.Name, Seed: d.Seed, Lost: []string{}, Doubled: []string{}}
	cast := &cast{commands: d.Cast, clock: d.Clock}
	cast.group.Ended = func(err error) { d.say("%v", err) } // it is started again
	keeping, stop := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { stop(cast.keep(keeping)) })
	defer func() {
		stop(nil)
		keeper.Wait()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, cast.stop(stopping))
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: d.Shoppers}}
	defer client.CloseIdleConnections()
	api := &door{base: d.API, key: d.Key, client: client, clock: d.Clock}
	channels := &door{base: d.Simulator, client: client, clock: d.Clock}
	if err := d.ready(keeping, api, channels); err != nil {
		return report, err
	}
	rotation := &rotation{channels: channels, metrics: &door{base: d.Metrics, client: client, clock: d.Clock}, clock: d.Clock,
		rotated: map[tasks.Source]time.Time{}}
	shop := &shop{accepted: map[asked]bool{}, captures: map[string]capture{}}
	record, err := d.play(keeping, report, cast, rotation, api, channels, shop)
	if err != nil {
		return report, err
	}
	rotation.report(report)
	return report, d.judge(keeping, report, shop, record)
}

// play breaks the system until its time is up, with new keys in the middle, and waits until all has settled.
func (d *Channels) play(ctx context.Context, report *ChannelsReport, cast *cast, rotation *rotation, api, channels *door,
	shop *shop) (record []simulate.Entry, err error) {
	watching, stop := context.WithCancel(ctx)
	rotated := make(chan error, 1)
	go func() { rotated <- rotation.run(watching, d.For/2) }()
	defer func() {
		stop()
		err = errors.Join(err, <-rotated)
	}()
	if report.Mishaps, err = d.breakAndShop(ctx, cast, api, channels, shop); err != nil {
		return nil, err
	}
	begun := d.Clock.Now()
	if record, err = d.settle(ctx, channels, rotation); err != nil {
		return nil, err
	}
	report.Settled, report.Unnoticed = d.Clock.Now().Sub(begun), len(lost(record))
	return record, nil
}

func (d *Channels) say(format string, args ...any) {
	if d.Say != nil {
		d.Say(fmt.Sprintf(format, args...))
	}
}

// ready waits until both doors are open.
func (d *Channels) ready(ctx context.Context, api, channels *door) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	open := *api
	open.key = "" // the description asks for none
	if err := open.until(ctx, http.MethodGet, "/openapi.json", nil, nil); err != nil {
		return fmt.Errorf("wait for the API: %w", err)
	}
	if err := channels.until(ctx, http.MethodGet, "/faults", nil, nil); err != nil {
		return fmt.Errorf("wait for the channels: %w", err)
	}
	return nil
}

// breakAndShop lets shoppers shop while mishaps happen. Shoppers finish their visits once nothing breaks any more.
func (d *Channels) breakAndShop(ctx context.Context, cast *cast, api, channels *door, shop *shop) (map[string]int, error) {
	d.say("%d shoppers for %s, seed %d", d.Shoppers, d.For, d.Seed)
	closing := make(chan struct{})
	shopping, stop := context.WithCancel(ctx)
	defer stop()
	problems := make([]error, d.Shoppers)
	var shoppers sync.WaitGroup
	for i := range d.Shoppers {
		s := &shopper{run: d, name: fmt.Sprintf("s%d", i), random: rand.New(rand.NewPCG(d.Seed, uint64(i))), api: api, channels: channels,
			shop: shop}
		shoppers.Go(func() { problems[i] = s.shopping(shopping, closing) })
	}
	breaking, calm := context.WithTimeout(ctx, d.For)
	defer calm()
	chaos := &chaos{mishaps: append(cast.killing(), d.Mishaps...), random: rand.New(rand.NewPCG(d.Seed, 1<<32)), clock: d.Clock}
	happened, err := chaos.run(breaking)
	close(closing)
	if err != nil {
		stop()
	}
	finish := d.Clock.After(d.Patience)
	finished := make(chan struct{})
	go func() {
		shoppers.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-finish:
		stop()
		<-finished
	}
	return happened, errors.Join(append(problems, err)...)
}

// unsettledSQL counts what has no outcome, payments without a notice that nobody has asked about, and what the producer is not told yet.
const unsettledSQL = `
SELECT (SELECT count(*) FROM pending) + (
           SELECT count(*)
           FROM unnest($1::text[]) AS lost (txn_id)
           WHERE NOT EXISTS (
               SELECT FROM requests WHERE kind IN ('recharge:confirm', 'recharge:suspend') AND payload ->> 'channel_txn_id' = lost.txn_id)
       ),
       (SELECT count(*) FROM webhook_messages WHERE state = 'waiting') + (
           SELECT count(*) FROM webhook_cursors c JOIN books b ON b.book = c.book WHERE b.decided_at > c.decided_at
       )`

// untoldFor is how long the producer may not be told of what is decided before what waits is delivered again.
const untoldFor = 3 * time.Second

// settle waits until the channels have told everything, nothing is outstanding and the producer is told, or the patience ends, and
// returns the channels' record.
func (d *Channels) settle(ctx context.Context, channels *door, rotation *rotation) ([]simulate.Entry, error) {
	deadline := d.Clock.Now().Add(d.Patience)
	var decided time.Time // since when only the producer has not been told of everything
	for {
		err := d.Inquire(ctx)
		record, readErr := lines[simulate.Entry](ctx, channels, "/record")
		err = errors.Join(err, readErr)
		outstanding, untold := 0, 0
		if err == nil {
			err = d.Pool.QueryRow(ctx, unsettledSQL, lost(record)).Scan(&outstanding, &untold)
		}
		if err != nil && ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		quiet := err == nil && outstanding == 0 && heard(record) && rotation.done()
		switch now := d.Clock.Now(); {
		case !quiet || decided.IsZero():
			decided = now
		case untold > 0 && now.Sub(decided) > untoldFor:
			err, decided = d.Redeliver(ctx), now
		}
		quiet = quiet && untold == 0
		late := d.Clock.Now().After(deadline)
		switch {
		case quiet || late && err == nil:
			return record, nil
		case late:
			return nil, fmt.Errorf("read what came of the drill: %w", err)
		}
		select {
		case <-d.Clock.After(lookInterval):
		case <-ctx.Done():
		}
	}
}

// lost are the payments that no notice ever tells of, by the channel's number.
func lost(record []simulate.Entry) []string {
	numbers := []string{}
	for _, entry := range record {
		if entry.Notice == simulate.NoticeLost {
			numbers = append(numbers, entry.ChannelTxnID)
		}
	}
	return numbers
}

// heard says that no notice is on its way and no refund under way.
func heard(record []simulate.Entry) bool {
	for _, entry := range record {
		if entry.Notice == simulate.NoticeWaiting || entry.FailureNotice == simulate.NoticeWaiting || entry.Kind == simulate.EntryRefund && entry.State == channel.RefundProcessing {
			return false
		}
	}
	return true
}
