package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Of the users who are enrolled and did not take part in the day, some have money above what they keep: 3 in 10.
const (
	idleWithMoneyPerMille = 300
	idleKeep              = 50_00 // fen; the most that anybody keeps is twice as much
)

// chunkMax is how many requests are asked with one insert: a full ring for each of four books.
const chunkMax = 4 * tasks.RingIDsMax

// chunkProducers is how many chunks are asked at once: while one commits the next is on its way.
const chunkProducers = 2

// playNight enrols everybody and sweeps.
func (r *run) playNight(ctx context.Context) error {
	r.screen.title(fmt.Sprintf("A night: a sweep over %s enrolled users", grouped(r.config.Enrolled)))
	date := clock.BusinessDate(r.today)
	asks, keeps := r.evening()
	prepared, err := r.askAll(ctx, asks)
	if err != nil {
		return err
	}
	r.screen.line("  evening   %s enrolments and recharges, asked in bulk, decided in %s", grouped(len(asks)), seconds(prepared))
	sweep := r.sweepAsk(date, keeps)
	want := len(sweep.Effects) / 2
	bar := r.screen.begin("swept", want)
	defer bar.finish()
	began := r.clock.Now()
	asking := &producers{client: r.client, record: r.record, clock: r.clock}
	asking.ask(ctx, Turn{Ask: sweep})
	err = untilDecided(ctx, r.pool, r.clock, dayPoll, dayPatience, func(backlog) {
		if swept, _, err := r.swept(ctx, date); err == nil {
			bar.set(swept)
		}
	})
	if err != nil && !errors.Is(err, errStillPending) {
		return err
	}
	r.sweepTook = r.clock.Now().Sub(began)
	bar.finish()
	swept, fen, err := r.swept(ctx, date)
	if err != nil {
		return err
	}
	r.screen.line("  swept     %s users, who had more than they keep: %s yuan, in %s", grouped(swept), groupedYuan(fen), seconds(r.sweepTook))
	return nil
}

// evening makes what the sweep needs: the day's users and as many idle ones as are wanted, all enrolled, some of them with money.
func (r *run) evening() (asks []*Ask, keeps map[string]int64) {
	rng := rand.New(rand.NewPCG(r.config.Seed, 2))
	at := r.today.Truncate(time.Second)
	keeps = map[string]int64{}
	users := slices.Clone(r.plan.Users)
	for i := len(users); i < r.config.Enrolled; i++ {
		id := fmt.Sprintf("i%06d", i)
		users = append(users, id)
		if rng.IntN(1000) < idleWithMoneyPerMille {
			fen := idleKeep*2 + 1 + rng.Int64N(1000_00)
			ask := &Ask{Key: "rc-" + id, Fate: FateApplied, Payload: &tasks.Recharge{RechargeID: "rc-" + id, UserID: id,
				Channel: tasks.SourceAlipay, ChannelTxnID: "alipay-" + id, Amount: money.FromFen(fen), OccurredAt: at}}
			ask.move(channelHolder(tasks.SourceAlipay), cashOf(id), fen)
			asks = append(asks, ask)
		}
	}
	for _, id := range users[:r.config.Enrolled] {
		keeps[id] = rng.Int64N(2 * idleKeep)
		asks = append(asks, enrol("en-"+id, id, keeps[id], at))
	}
	return asks, keeps
}

// askAll asks in large chunks, waits until all is decided, and says how long that took.
func (r *run) askAll(ctx context.Context, asks []*Ask) (time.Duration, error) {
	began := r.clock.Now()
	asking := &producers{client: r.client, record: r.record, clock: r.clock}
	next := make(chan []*Ask, len(asks)/chunkMax+1)
	for chunk := range slices.Chunk(asks, chunkMax) {
		next <- chunk
	}
	close(next)
	bar := r.screen.begin("asked", len(asks))
	defer bar.finish()
	err := r.watch(ctx, bar, nil, func(ctx context.Context) error {
		errs := make([]error, chunkProducers)
		var running sync.WaitGroup
		for i := range errs {
			running.Go(func() {
				for chunk := range next {
					if errs[i] = asking.askMany(ctx, chunk); errs[i] != nil {
						return
					}
				}
			})
		}
		running.Wait()
		return errors.Join(errs...)
	})
	if err != nil {
		return 0, err
	}
	bar.finish()
	err = r.drain(ctx)
	return r.clock.Now().Sub(began), err
}

// sweepAsk asks for a night's sweep. What it must move is worked out from the record: all that a user has above keep.
func (r *run) sweepAsk(date string, keeps map[string]int64) *Ask {
	ask := &Ask{Key: productID + "/" + date, Fate: FateApplied, Payload: &tasks.Sweep{ProductID: productID, BusinessDate: date}}
	holdings := r.record.Holdings()
	for user, keep := range keeps {
		if surplus := holdings[cashOf(user)] - keep; surplus > 0 {
			ask.Effects = append(ask.Effects, Effect{cashOf(user), -surplus}, Effect{wealthOf(user, productID), surplus})
		}
	}
	return ask
}

// swept counts a night's subscriptions, and adds them up.
func (r *run) swept(ctx context.Context, date string) (users int, fen int64, err error) {
	err = r.pool.QueryRow(ctx, `SELECT count(*), coalesce(sum(amount_fen), 0)::bigint FROM subscriptions WHERE business_date = $1::date`,
		date).Scan(&users, &fen)
	if err != nil {
		return 0, 0, fmt.Errorf("count who was swept: %w", err)
	}
	return users, fen, nil
}
