package worker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// deadlyReward is the campaign whose rewards end the process that decides them.
const deadlyReward = "deadly"

// grantOrDie is a rule of rewards with a poison that no recover catches.
func grantOrDie() ledger.Rule {
	return ledger.NewRule(func(*tasks.Reward, *ledger.Reads) {}, func(_ *ledger.State, _ *ledger.Request, p *tasks.Reward) ledger.Decision {
		if p.CampaignID == deadlyReward {
			os.Exit(3)
		}
		return ledger.Apply("")
	})
}

const (
	deadlyDatabase = "SETTLED_TEST_DEADLY_DATABASE"
	deadlyRedis    = "SETTLED_TEST_DEADLY_REDIS"
)

// TestMain makes the test binary a worker when TestRequestThatEndsItsProcessDies starts it as one.
func TestMain(m *testing.M) {
	if url := os.Getenv(deadlyDatabase); url != "" {
		if err := serveUntilKilled(context.Background(), url, os.Getenv(deadlyRedis)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func serveUntilKilled(ctx context.Context, databaseURL, redisURL string) error {
	pool, err := postgres.Open(ctx, databaseURL, postgres.MaxConns(4))
	if err != nil {
		return err
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	client, err := tasks.NewClient(ctx, pool, nil, tasks.ClientConfig{Producer: "deadly"})
	if err != nil {
		return err
	}
	books, err := ledger.Open(ctx, pool, ledger.Config{Rules: []ledger.Rule{grantOrDie()}})
	if err != nil {
		return err
	}
	w, err := New(ctx, Config{Ledger: books, Client: client, Pool: pool, Redis: OpenRedis(options), StartsMax: deadlyStartsMax,
		Servers: map[tasks.Queue]int{tasks.Low: 1}, Concurrency: 4, RelayInterval: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	if err := w.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

const deadlyStartsMax = 4

func TestRequestThatEndsItsProcessDies(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRules(grantOrDie()), withRings(500))
	var payloads []tasks.Payload
	for i := range 20 {
		campaign := "spring"
		if i == 7 {
			campaign = deadlyReward
		}
		// One user: all stand in one book, in one ring.
		payloads = append(payloads, &tasks.Reward{RewardID: fmt.Sprintf("w%d", i), UserID: "u1", CampaignID: campaign, Amount: fen(100),
			OccurredAt: noon})
	}
	s.accept(t, payloads...)
	deaths := 0
	eventually(t, "nothing is accepted any more", func() bool {
		if s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted'") == 0 {
			return true
		}
		if s.runDeadlyWorker(t) {
			deaths++
		}
		return false
	})
	if got := s.count(t, "SELECT count(*) FROM outcomes WHERE result = 'applied'"); got != 19 {
		t.Errorf("%d neighbours completed, want 19", got)
	}
	var state string
	if err := s.db.Pool.QueryRow(t.Context(), `SELECT p.state FROM pending p JOIN requests r ON r.book = p.book AND r.id = p.request_id
		WHERE r.key = 'w7'`).Scan(&state); err != nil || state != "dead" {
		t.Errorf("the deadly request is %q, %v; want dead", state, err)
	}
	if deaths == 0 || deaths > deadlyStartsMax+1 {
		t.Errorf("%d processes died, want at most %d", deaths, deadlyStartsMax+1)
	}
}

// runDeadlyWorker runs a worker process until nothing is accepted any more, or it dies, and says whether it died.
func (s *stack) runDeadlyWorker(t *testing.T) bool {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), deadlyDatabase+"="+s.db.URL, deadlyRedis+"="+s.server.URL)
	process.Stderr = t.Output()
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = process.Wait()
	}()
	died, looks := false, 0
	eventually(t, "the worker dies or finishes", func() bool {
		// A process that dies between claiming and ringing leaves its claim for half a minute.
		if looks++; looks%100 == 1 {
			if _, err := s.ledger.MakeAllDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-ended:
			died = true
			return true
		default:
			return s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted'") == 0
		}
	})
	stop()
	<-ended
	return died
}

func TestLostRingIsAppliedTogetherOnceMore(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	w := s.newWorker(t, nil)
	ring := ringOf(s.accept(t, recharge("r1", "u1", 100), recharge("r2", "u1", 100), recharge("r3", "u1", 100)))
	d := &delivery{taskType: string(ring.Kind), retried: 1, retriesMax: 25, ring: ring}
	answers, err := w.observer.handler.applySuspects(t.Context(), d)
	if err != nil || len(answers) != 3 {
		t.Fatalf("got %d answers, %v", len(answers), err)
	}
	if got := testutil.ToFloat64(w.metrics.suspects.WithLabelValues(suspectsTogether)); got != 3 {
		t.Errorf("%v requests were applied together, want 3", got)
	}
}

func TestOutageIsNoEvidenceAgainstARequest(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500), func(s *stackSettings) { s.lockTimeout = "20ms" })
	w := s.newWorker(t, func(c *Config) { c.StartsMax = 2 })
	receipts := s.accept(t, recharge("r1", "u1", 100))
	for range 5 {
		unlock := lockBooks(t, s)
		_, err := w.observer.handler.applySuspects(t.Context(), &delivery{ring: ringOf(receipts), retriesMax: 25})
		unlock()
		if classOf(err) != classBusy {
			t.Fatalf("while the books are locked the task is %s: %v", classOf(err), err)
		}
	}
	answers, err := w.observer.handler.applySuspects(t.Context(), &delivery{ring: ringOf(receipts), retriesMax: 25})
	if err != nil || len(answers) != 1 || answers[0].Fate != ledger.Decided {
		t.Errorf("after five outages the request is %v, %v; want decided", answers, err)
	}
}

func TestSuspectsOfASecondStartAreRungApart(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	w := s.newWorker(t, nil)
	receipts := s.accept(t, recharge("r1", "u1", 100), recharge("r2", "u1", 100), recharge("r3", "u1", 100))
	eventually(t, "the ring is pending", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 1 })
	ring := ringOf(receipts)
	// A process took the second and the third, and died.
	taken := ring
	taken.IDs = ring.IDs[1:]
	if _, err := s.ledger.Suspect(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	d := &delivery{taskType: string(ring.Kind), retried: 1, retriesMax: 25, ring: ring}
	answers, err := w.observer.handler.applySuspects(t.Context(), d)
	if err != nil || len(answers) != 1 || answers[0].Fate != ledger.Decided {
		t.Fatalf("got %v, %v; want the first request decided", answers, err)
	}
	if got := s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val(); got != 3 {
		t.Errorf("%d rings are pending, want the first one and two apart", got)
	}
	for _, id := range ring.IDs[1:] {
		alone := ring
		alone.IDs = []uuid.UUID{id}
		if answers, err := w.observer.handler.applySuspects(t.Context(), &delivery{ring: alone}); err != nil || answers[0].Fate != ledger.Decided {
			t.Errorf("alone the request is %v, %v; want decided", answers, err)
		}
	}
}

func TestRequestIsBuriedAfterTooManyStarts(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	w := s.newWorker(t, func(c *Config) { c.StartsMax = 3 })
	ring := ringOf(s.accept(t, recharge("r1", "u1", 100)))
	for range 3 {
		if _, err := s.ledger.Suspect(t.Context(), ring); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		answers, err := w.observer.handler.applySuspects(t.Context(), &delivery{ring: ring})
		if err != nil || answers[0].Fate != ledger.Dead {
			t.Errorf("after four starts the request is %v, %v; want dead", answers, err)
		}
	}
	letters, err := s.reader.Dead(t.Context(), 10)
	if err != nil || len(letters) != 1 || letters[0].Key != "r1" {
		t.Errorf("dead letters are %v, %v; want r1", letters, err)
	}
}

// ringOf makes a ring of receipts of one book.
func ringOf(receipts []tasks.Receipt) tasks.Ring {
	ring := tasks.Ring{Kind: receipts[0].Kind, Book: receipts[0].Book}
	for _, receipt := range receipts {
		ring.IDs = append(ring.IDs, receipt.ID)
	}
	return ring
}
