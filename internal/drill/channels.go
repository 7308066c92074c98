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
)

// Channels lets shoppers recharge, buy and ask for refunds through simulated channels while every process of the system is killed
// again and again, and then compares the channels' own record with the books. Run it once.
type Channels struct {
	Name      string          // part of all keys, users and orders of the drill, letters and digits; a random one when empty
	API       string          // where the API will be served
	Simulator string          // where the simulated channels will be
	Key       string          // of the API, for everything
	Pool      *pgxpool.Pool   // reads the books
	Cast      []child.Command // the system's processes, which the drill starts, kills and starts again
	Mishaps   []Mishap        // what may happen besides
	For       time.Duration   // how long shoppers shop and mishaps happen
	Shoppers  int
	Pause     time.Duration // of a shopper between two visits
	Patience  time.Duration // how long everything may take to settle afterwards
	Seed      uint64        // draws shoppers and mishaps
	Clock     clock.Timer
	Say       func(string) // told what is going on; may be nil
}

// ChannelsReport is what came of the drill.
type ChannelsReport struct {
	Run       string         `json:"run"`
	Seed      uint64         `json:"seed"`
	Mishaps   map[string]int `json:"mishaps"`
	Payments  int            `json:"payments"`  // by the channels' record: recharges, paid ones and those that were wrong
	Refunds   int            `json:"refunds"`   // by the channels' record
	Requests  int            `json:"requests"`  // that the shop was told are accepted
	Suspended int            `json:"suspended"` // payments that wait for a person in suspense
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
	shop := &shop{accepted: map[asked]bool{}, captures: map[string]capture{}}
	if report.Mishaps, err = d.breakAndShop(keeping, cast, api, channels, shop); err != nil {
		return report, err
	}
	begun := d.Clock.Now()
	record, err := d.settle(keeping, channels)
	if err != nil {
		return report, err
	}
	report.Settled = d.Clock.Now().Sub(begun)
	return report, d.judge(keeping, report, shop, record)
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

// settle waits until the channels have told everything and nothing is outstanding, or the patience ends, and returns the channels'
// record.
func (d *Channels) settle(ctx context.Context, channels *door) ([]simulate.Entry, error) {
	deadline := d.Clock.Now().Add(d.Patience)
	for {
		record, err := lines[simulate.Entry](ctx, channels, "/record")
		outstanding := 0
		if err == nil {
			err = d.Pool.QueryRow(ctx, "SELECT count(*) FROM pending").Scan(&outstanding)
		}
		if err != nil && ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		quiet := err == nil && outstanding == 0 && told(record)
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

// told says that no notice is on its way and no refund under way.
func told(record []simulate.Entry) bool {
	for _, entry := range record {
		if entry.Notice == simulate.NoticeWaiting || entry.Kind == simulate.EntryRefund && entry.State == channel.RefundProcessing {
			return false
		}
	}
	return true
}
