package drill

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// RedisLoss takes the Redis of a running system away, or only what it holds. Run it once; several may run at the same time, each counts
// its own.
type RedisLoss struct {
	Name     string        // part of the keys and users of the drill; a random one when empty
	Client   *tasks.Client // producer of the drill
	Pool     *pgxpool.Pool // reads the books
	Loss     Loss
	Requests int           // how many rewards are asked for, 2 to 1,000,000
	Outage   time.Duration // how long Redis is away; the second half is asked for during all of it. 0 for a loss that takes no time
	Patience time.Duration // how long everything accepted may take to be decided after the last acceptance
	Clock    clock.Timer
	Say      func(string) // told what is going on; may be nil
}

// Loss is what befalls Redis.
type Loss struct {
	// Begin makes Redis unreachable; nil when it stays.
	Begin func(context.Context) error
	// End returns when Redis is there again, without what it held. It is called when the outage has lasted.
	End func(context.Context) error
}

// Report is what came of a drill.
type Report struct {
	Run         string        `json:"run"` // part of the keys and users of the drill
	Accepted    int           `json:"accepted"`
	Away        int           `json:"accepted_while_away"` // of Accepted, those that were accepted while Redis was away
	Outage      time.Duration `json:"outage_ns"`           // from the loss until Redis was there again
	Outstanding int           `json:"outstanding_at_loss"` // accepted and not decided when Redis was there again, empty
	Lost        int           `json:"lost"`                // accepted, and no outcome when the patience ended
	Doubled     int           `json:"doubled"`             // requests with more than one transfer, and accounts with more than their rewards
	Recovery    time.Duration `json:"recovery_ns"`         // from when Redis was there again until everything accepted before was decided
}

// OK says that nothing was lost and nothing doubled.
func (r Report) OK() bool { return r.Lost == 0 && r.Doubled == 0 }

const (
	campaign  = "drill"
	usersMax  = 50
	producers = 32
	// lookInterval is how often the books are asked how far they are.
	lookInterval = 50 * time.Millisecond
)

// Run runs the drill. An error means that it could not be finished and says nothing of the books.
func (d *RedisLoss) Run(ctx context.Context) (Report, error) {
	if d.Name == "" {
		d.Name = uuid.NewString()[:8]
	}
	run := &redisLoss{RedisLoss: d, report: Report{Run: d.Name}, receipts: make([]tasks.Receipt, d.Requests), half: make(chan struct{})}
	if err := run.askThroughLoss(ctx); err != nil {
		return run.report, err
	}
	run.report.Accepted = len(run.receipts)
	if err := run.recovered(ctx); err != nil {
		return run.report, err
	}
	return run.report, run.judge(ctx)
}

// redisLoss is one run.
type redisLoss struct {
	*RedisLoss
	report   Report
	receipts []tasks.Receipt

	accepted atomic.Int64
	half     chan struct{} // closed when half are accepted
	halfAt   time.Time     // when that was
	before   placed        // accepted before Redis was there again, empty
	backAt   time.Time     // when that was

	mu  sync.Mutex
	all placed
}

// placed are requests with their books, as columns: with its book a request is found by its key, without it by reading all that the
// system has outstanding.
type placed struct {
	books []int16
	ids   []uuid.UUID
}

func (p *placed) add(receipt tasks.Receipt) {
	p.books, p.ids = append(p.books, int16(receipt.Book)), append(p.ids, receipt.ID)
}

func (d *redisLoss) say(format string, args ...any) {
	if d.Say != nil {
		d.Say(fmt.Sprintf(format, args...))
	}
}

// askThroughLoss asks for every reward, and has the loss happen when half are accepted.
func (d *redisLoss) askThroughLoss(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var losing sync.WaitGroup
	losing.Go(func() {
		select {
		case <-d.half:
			if err := d.lose(ctx); err != nil {
				stop(err)
			}
		case <-ctx.Done():
		}
	})
	d.askAll(ctx, stop)
	losing.Wait()
	return context.Cause(ctx)
}

// askAll asks for every reward; stop is told of what failed.
func (d *redisLoss) askAll(ctx context.Context, stop context.CancelCauseFunc) {
	d.say("asking for %d rewards of 0.01 as drill-%s", d.Requests, d.report.Run)
	var next atomic.Int64
	var asking sync.WaitGroup
	for range producers {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < d.Requests && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := d.ask(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	asking.Wait()
}

func (d *redisLoss) ask(ctx context.Context, i int) error {
	if err := d.untilTurn(ctx, i); err != nil {
		return err
	}
	receipt, err := d.Client.Enqueue(ctx, &tasks.Reward{RewardID: fmt.Sprintf("drill-%s-%d", d.report.Run, i), UserID: d.user(i % usersMax),
		CampaignID: campaign, Amount: money.FromFen(1), OccurredAt: d.Clock.Now()})
	if err != nil {
		return fmt.Errorf("ask for reward %d: %w", i, err)
	}
	d.receipts[i] = receipt
	d.mu.Lock()
	d.all.add(receipt)
	d.mu.Unlock()
	if d.accepted.Add(1) == int64(d.Requests/2) {
		d.halfAt = d.Clock.Now()
		close(d.half)
	}
	return nil
}

// untilTurn spreads the second half over the outage.
func (d *redisLoss) untilTurn(ctx context.Context, i int) error {
	second := i - d.Requests/2
	if d.Outage == 0 || second < 0 {
		return nil
	}
	select {
	case <-d.half:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	turn := d.halfAt.Add(time.Duration(float64(d.Outage) * float64(second) / float64(d.Requests-d.Requests/2)))
	return d.pause(ctx, turn.Sub(d.Clock.Now()))
}

func (d *redisLoss) pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-d.Clock.After(duration):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *redisLoss) user(n int) string { return fmt.Sprintf("drill-%s-u%d", d.report.Run, n) }

// lose has the loss happen, and notes what was accepted meanwhile and what was outstanding.
func (d *redisLoss) lose(ctx context.Context) error {
	begun := d.Clock.Now()
	if d.Loss.Begin != nil {
		if err := d.Loss.Begin(ctx); err != nil {
			return fmt.Errorf("take redis away: %w", err)
		}
		d.say("redis is away; %d requests are accepted", d.accepted.Load())
	}
	acceptedBefore := d.accepted.Load()
	if err := d.pause(ctx, d.Outage); err != nil {
		return err
	}
	d.mu.Lock()
	d.before = placed{books: slices.Clone(d.all.books), ids: slices.Clone(d.all.ids)}
	d.mu.Unlock()
	if err := d.Loss.End(ctx); err != nil {
		return fmt.Errorf("have redis back: %w", err)
	}
	d.backAt = d.Clock.Now()
	if d.Loss.Begin != nil {
		d.report.Away, d.report.Outage = int(d.accepted.Load()-acceptedBefore), d.backAt.Sub(begun)
	}
	var err error
	if d.report.Outstanding, err = d.outstanding(ctx, d.before); err != nil {
		return err
	}
	d.say("redis has lost what it held; %d of %d accepted requests were outstanding", d.report.Outstanding, len(d.before.ids))
	return nil
}

const outstandingSQL = `
SELECT count(*)
FROM unnest($1::smallint[], $2::uuid[]) AS asked (book, id)
JOIN pending p ON p.book = asked.book AND p.request_id = asked.id`

func (d *redisLoss) outstanding(ctx context.Context, requests placed) (int, error) {
	var n int
	if err := d.Pool.QueryRow(ctx, outstandingSQL, requests.books, pguuid.Array(requests.ids)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count outstanding requests: %w", err)
	}
	return n, nil
}

// recovered waits until all is decided, or the patience ends, and notes when what the loss could touch was.
func (d *redisLoss) recovered(ctx context.Context) error {
	deadline := d.Clock.Now().Add(d.Patience)
	for {
		left, err := d.outstanding(ctx, d.before)
		if err != nil {
			return err
		}
		if left == 0 && d.report.Recovery == 0 {
			d.report.Recovery = d.Clock.Now().Sub(d.backAt)
		}
		if left == 0 {
			if left, err = d.outstanding(ctx, d.all); err != nil {
				return err
			}
		}
		if left == 0 || d.Clock.Now().After(deadline) {
			return nil
		}
		if err := d.pause(ctx, lookInterval); err != nil {
			return err
		}
	}
}

const judgeSQL = `
SELECT count(*) FILTER (WHERE o.request_id IS NULL),
       count(*) FILTER (WHERE (SELECT count(*) FROM transfers t WHERE t.book = r.book AND t.request_id = r.id
                                  AND t.seq >= o.first_transfer AND t.seq < o.first_transfer + 2) > 1)
FROM unnest($1::smallint[], $2::uuid[]) AS asked (book, id)
LEFT JOIN requests r ON r.book = asked.book AND r.id = asked.id
LEFT JOIN outcomes o ON o.book = asked.book AND o.request_id = asked.id`

// overpaidSQL counts the drill's users who hold more than what was asked for them.
const overpaidSQL = `
SELECT count(*)
FROM unnest($1::smallint[], $2::text[], $3::bigint[]) AS given (book, account, fen)
JOIN accounts a ON a.book = given.book AND a.name = given.account AND a.balance_fen > given.fen`

// judge compares what was accepted with the books.
func (d *redisLoss) judge(ctx context.Context) error {
	var requests placed
	given := map[string]int64{}
	for i, receipt := range d.receipts {
		requests.add(receipt)
		given[d.user(i%usersMax)]++
	}
	if err := d.Pool.QueryRow(ctx, judgeSQL, requests.books, pguuid.Array(requests.ids)).Scan(&d.report.Lost, &d.report.Doubled); err != nil {
		return fmt.Errorf("compare the drill with the books: %w", err)
	}
	var books []int16
	var accounts []string
	var fens []int64
	for user, fen := range given {
		books = append(books, int16(tasks.BookOf(user, d.Client.Books())))
		accounts, fens = append(accounts, "user/"+user+"/reward"), append(fens, fen)
	}
	var overpaid int
	if err := d.Pool.QueryRow(ctx, overpaidSQL, books, accounts, fens).Scan(&overpaid); err != nil {
		return fmt.Errorf("compare the drill's accounts with the books: %w", err)
	}
	d.report.Doubled += overpaid
	return nil
}
