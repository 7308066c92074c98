package proof_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// ledgers are two ledgers on one PostgreSQL server and one Redis server.
type ledgers struct {
	stacks [2]*stack
	books  [2]*ledgertest.Books
	urls   [2]string // of Redis
}

// newLedgers makes two ledgers whose queues lie in the databases of one Redis that are named.
func newLedgers(t *testing.T, databases ...string) *ledgers {
	t.Helper()
	l := &ledgers{}
	l.stacks[0] = newStack(t, pgtest.New(t))
	l.stacks[1] = &stack{db: pgtest.New(t), server: l.stacks[0].server}
	ledgertest.Audit(t, l.stacks[1].db)
	for i, s := range l.stacks {
		l.books[i] = ledgertest.OpenOn(t, s.db)
		l.urls[i] = strings.TrimSuffix(s.server.URL, "/0") + databases[i]
		options, err := redis.ParseURL(l.urls[i])
		if err != nil {
			t.Fatal(err)
		}
		s.redis = redis.NewClient(options)
		t.Cleanup(func() { _ = s.redis.Close() })
		if s.client, err = tasks.NewClient(t.Context(), s.db.Pool, tasks.NewDoorbell(s.redis), tasks.ClientConfig{Producer: "shop", RingSize: 3}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.client.Close)
	}
	return l
}

func (l *ledgers) startWorker(t *testing.T, i int) *process {
	t.Helper()
	arguments := append([]string{}, workerArguments...)
	return l.stacks[i].startProgram(t, settledPath(t), l.stacks[i].db.URL, append(arguments, "--redis-url", l.urls[i])...)
}

// ask asks both ledgers for requests of the same keys, of which the second's are twice as large.
func (l *ledgers) ask(t *testing.T, prefix string, n int) {
	t.Helper()
	for i, s := range l.stacks {
		payloads := make([]tasks.Payload, n)
		for j := range payloads {
			payloads[j] = ledgertest.Recharge(fmt.Sprint(prefix, j), fmt.Sprint("u", j%5), fmt.Sprintf("%d.00", i+1))
		}
		s.accept(t, payloads...)
	}
}

// expect compares what each ledger has done with what it was asked.
func (l *ledgers) expect(t *testing.T, n int) {
	t.Helper()
	for i, s := range l.stacks {
		for user := range 5 {
			s.expectBalance(t, ledger.UserCash(fmt.Sprint("u", user)), fmt.Sprintf("%d.00", (i+1)*n/5))
		}
		s.expectCount(t, n, "SELECT count(*) FROM transfers")
		s.expectCount(t, n, "SELECT count(*) FROM outcomes WHERE result = 'applied'")
		s.expectCount(t, 0, "SELECT count(*) FROM conflicts")
	}
}

// A tenant is a ledger: its own database, and its own Redis or database of one. Of the same keys each has its own results, and no queue,
// ring or wipe of one reaches the other.
func TestTwoLedgersGiveTheSameKeysTwoResults(t *testing.T) {
	t.Parallel()
	const n = 150
	l := newLedgers(t, "/0", "/1")
	workers := []*process{l.startWorker(t, 0), l.startWorker(t, 1)}
	for _, s := range l.stacks {
		s.serves(t)
	}
	l.ask(t, "r", n)
	for i, s := range l.stacks {
		s.decidedAs(t, l.books[i], n)
		s.expectCount(t, 0, "SELECT count(*) FROM strays")
	}
	l.expect(t, n)

	// What waits in one is nothing to the other's worker, and the other's wipe does not take it away.
	workers[1].stop(t)
	l.ask(t, "s", n)
	l.stacks[0].decidedAs(t, l.books[0], 2*n)
	eventually(t, "the second ledger's rings wait", func() bool { return l.stacks[1].queued(t).pending >= n/3 })
	waiting, epoch := l.stacks[1].queued(t), l.stacks[1].redis.Get(t.Context(), "settled:epoch").Val()
	if err := l.stacks[0].redis.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	l.stacks[0].serves(t) // again, under a new epoch
	if now := l.stacks[1].queued(t); now != waiting || l.stacks[1].redis.Get(t.Context(), "settled:epoch").Val() != epoch {
		t.Errorf("the wipe of one ledger's Redis left %+v of the other's %+v", now, waiting)
	}
	l.startWorker(t, 1)
	l.stacks[1].decidedAs(t, l.books[1], 2*n)
	for _, s := range l.stacks {
		s.expectCount(t, 0, "SELECT count(*) FROM strays")
	}
	l.expect(t, 2*n)
}

// Two ledgers on one database of Redis take each other's rings. That is a mistake that costs time and leaves strays: no money moves by it,
// and nothing is lost.
func TestLedgersThatShareAQueueByMistakeStillApplyEachRequestOnce(t *testing.T) {
	t.Parallel()
	const n = 60
	l := newLedgers(t, "/0", "/0")
	for i := range l.stacks {
		l.startWorker(t, i)
	}
	l.stacks[0].serves(t)
	l.ask(t, "r", n)
	for i, s := range l.stacks {
		s.decidedAs(t, l.books[i], n)
	}
	l.expect(t, n)
	if l.stacks[0].count(t, "SELECT count(*) FROM strays")+l.stacks[1].count(t, "SELECT count(*) FROM strays") == 0 {
		t.Error("no ring has gone astray: this proves nothing")
	}
}

// Within a ledger a key names one thing, whoever it is about and in whichever book it would stand.
func TestKeyOfAnotherUserIsAConflictAcrossBooks(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	first := b.Accept(t, ledgertest.Reward("w1", "u0", "1.00"))[0]
	books := map[int]bool{}
	for i := range 20 {
		user := fmt.Sprint("u", i+1)
		receipt, err := b.Client.Enqueue(context.WithoutCancel(t.Context()), ledgertest.Reward("w1", user, "1.00"))
		var conflict *tasks.ConflictError
		if !errors.As(err, &conflict) || len(conflict.Receipt.Fields) != 1 || conflict.Receipt.Fields[0].Field != "user_id" {
			t.Errorf("%s is answered %+v, %v; want a conflict of the user", user, receipt, err)
		}
		books[tasks.BookOf(user, b.Client.Books())] = true
	}
	ledgertest.Applied(t, b.Apply(t, first)...)
	b.Expect(t, ledger.Promotion("c1"), "-1.00")
	if len(books) < 2 {
		t.Error("all users are of one book")
	}
}
