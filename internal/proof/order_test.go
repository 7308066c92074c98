package proof_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// Accounts are opened by their first posting. Whoever is first, in whichever worker, the postings of all the others are in them too.
func TestFirstPostingsOfNewAccountsInParallelAreAllThere(t *testing.T) {
	t.Parallel()
	const users, topUps = 12, 10
	s := newStack(t, pgtest.New(t))
	s.startTwoWorkers(t)
	unlock := s.lockBooks(t) // until all of them wait
	var asking sync.WaitGroup
	for i := range topUps {
		client, err := tasks.NewClient(t.Context(), s.db.Pool, tasks.NewDoorbell(s.redis), tasks.ClientConfig{Producer: "proof", RingAfter: ringAfter, RingSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		asking.Go(func() {
			for user := range users {
				top := ledgertest.Recharge(fmt.Sprint("r", user, "-", i), fmt.Sprint("u", user), fmt.Sprintf("%d.00", i+1))
				if _, err := client.Enqueue(t.Context(), top); err != nil {
					t.Errorf("%s: %v", top.RechargeID, err)
				}
			}
		})
	}
	asking.Wait()
	eventually(t, "both workers hold some", func() bool { return s.queued(t).active > 16 }) // more than one of them takes
	s.expectCount(t, 0, "SELECT count(*) FROM accounts WHERE name LIKE 'user/%'")
	unlock()
	s.settled(t, users*topUps)
	for user := range users {
		s.expectBalance(t, ledger.UserCash(fmt.Sprint("u", user)), "55.00") // 1 + 2 + ... + 10
	}
	s.expectCount(t, users, "SELECT count(*) FROM accounts WHERE name LIKE 'user/%'")
	s.expectBalance(t, ledger.ChannelClearing(tasks.SourceWeChat), fmt.Sprintf("-%d.00", users*55))
	s.expectCount(t, users*topUps, "SELECT count(*) FROM outcomes WHERE result = 'applied'")
}

// errands are requests of some users whose effects do not depend on which is first, but for what waits for something: refunds for their
// payments.
func errands() (payloads []tasks.Payload) {
	for i := range 6 {
		user, next := fmt.Sprint("u", i), fmt.Sprint("u", (i+1)%6)
		payloads = append(payloads,
			ledgertest.Payment("o"+user, user, ledgertest.Leg(tasks.SourceCash, "10.01"), ledgertest.Leg(tasks.SourceReward, "3.00"), ledgertest.Leg(tasks.SourceAlipay, "7.00")),
			ledgertest.Refund("fa"+user, "o"+user, user, "6.67"), ledgertest.Refund("fb"+user, "o"+user, user, "6.67"), ledgertest.Refund("fc"+user, "o"+user, user, "6.67"),
			ledgertest.Transfer("x"+user, user, next, "4.00"), ledgertest.Enrolment("e"+user, user, "1.00"))
	}
	return payloads
}

// The queue promises no order, and delivers twice. However the same requests are delivered, by two workers at once, the books are the same.
func TestShuffledAndRepeatedDeliveriesEndInTheSameBooks(t *testing.T) {
	t.Parallel()
	var first map[string]int64
	for round := range 6 {
		seed := rand.Uint64()
		got := deliverShuffled(t, seed)
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" || len(got) < 20 {
			t.Errorf("round %d, seed %d: %d balances (-first +this):\n%s", round, seed, len(got), diff)
		}
	}
}

// deliverShuffled delivers the errands, and what follows from them, in an order that the seed draws, and returns every balance.
func deliverShuffled(t *testing.T, seed uint64) map[string]int64 {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	b := ledgertest.OpenOn(t, pgtest.New(t))
	workers := []*ledgertest.Books{b, ledgertest.OpenOn(t, b.DB)}
	for i := range 6 {
		user := fmt.Sprint("u", i)
		ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r"+user, user, "50.00"), ledgertest.Reward("w"+user, user, "3.00"))...)
	}
	receipts := b.Accept(t, errands()...)
	deliveries := slices.Repeat(receipts, 3)
	random.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	var delivering sync.WaitGroup
	for worker, part := range slices.Collect(slices.Chunk(deliveries, len(deliveries)/2)) {
		delivering.Go(func() {
			for _, receipt := range part {
				if _, err := workers[worker%2].Ledger.Apply(t.Context(), receipt.Book, receipt.ID); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	delivering.Wait()
	for _, books := range workers {
		books.Settle(t)
	}
	rows, err := b.DB.Pool.Query(t.Context(), `SELECT CASE WHEN kind = 'interbook' THEN 'interbook' ELSE name END, sum(balance_fen)::bigint FROM accounts GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	balances := map[string]int64{}
	var name string
	var fen int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &fen}, func() error {
		balances[name] = fen
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return balances
}
