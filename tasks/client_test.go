package tasks_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// desk is a database to accept into. The books are audited at the end of the test.
type desk struct {
	db     *pgtest.Database
	client *tasks.Client
}

func newDesk(t *testing.T, bell *tasks.Doorbell, config tasks.ClientConfig) *desk {
	t.Helper()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	return &desk{db: db, client: newClient(t, db, bell, config)}
}

func newClient(t *testing.T, db *pgtest.Database, bell *tasks.Doorbell, config tasks.ClientConfig) *tasks.Client {
	t.Helper()
	if config.Producer == "" {
		config.Producer = "test"
	}
	client, err := tasks.NewClient(t.Context(), db.Pool, bell, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (d *desk) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := d.db.Owner.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// expectStored fails the test unless so many requests are stored, and each is pending.
func (d *desk) expectStored(t *testing.T, n int) {
	t.Helper()
	requests := d.count(t, "SELECT count(*) FROM requests")
	pending := d.count(t, "SELECT count(*) FROM pending p JOIN requests r ON r.book = p.book AND r.id = p.request_id AND r.kind = p.kind")
	if requests != n || pending != n {
		t.Errorf("%d requests are stored and %d pending, want %d", requests, pending, n)
	}
}

func reward(id, user, amount string) *tasks.Reward {
	return &tasks.Reward{RewardID: id, UserID: user, CampaignID: "c1", Amount: yuan(amount), OccurredAt: instant}
}

func TestRequestIsStoredAsItWasAsked(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{Producer: "shop@1"})
	// 23:30 in Shanghai on the 2nd is 15:30 UTC; half an hour and a second later it is the 3rd.
	for key, c := range map[string]struct {
		at   time.Time
		date string
	}{
		"before": {time.Date(2026, 3, 2, 15, 59, 59, 999999000, time.UTC), "2026-03-02"},
		"after":  {time.Date(2026, 3, 2, 16, 0, 0, 0, time.UTC), "2026-03-03"},
	} {
		receipt, err := d.client.Enqueue(t.Context(), &tasks.Reward{RewardID: key, UserID: "u1", CampaignID: "c1", Amount: yuan("1.00"), OccurredAt: c.at})
		if err != nil {
			t.Fatal(err)
		}
		want := tasks.Receipt{ID: receipt.ID, Book: tasks.BookOf("u1", 4), Kind: tasks.RewardGrant, Key: key, Status: tasks.Accepted, Producer: "shop@1"}
		if diff := cmp.Diff(want, receipt); diff != "" {
			t.Errorf("receipt (-want +got):\n%s", diff)
		}
		if receipt.ID.Version() != 7 {
			t.Errorf("id %s does not sort by time", receipt.ID)
		}
		var producer, date string
		var occurred time.Time
		err = d.db.Pool.QueryRow(t.Context(), "SELECT producer, business_date::text, occurred_at FROM requests WHERE book = $1 AND id = $2",
			receipt.Book, receipt.ID).Scan(&producer, &date, &occurred)
		if err != nil || producer != "shop@1" || date != c.date || !occurred.Equal(c.at) {
			t.Errorf("%s is stored as %s, %s, %s (%v)", key, producer, date, occurred, err)
		}
	}
	d.expectStored(t, 2)
}

func TestRefusedRequestIsNotStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	bad := []tasks.Payload{
		reward("r/1", "u1", "1.00"), reward("r1", "u1", "0.00"),
		&tasks.Enrolment{EnrolmentID: "e1", UserID: "u1", ProductID: "nosuch", ConsentVersion: "1", OccurredAt: instant},
		&tasks.Sweep{ProductID: "nosuch", BusinessDate: "2026-03-02"},
	}
	items, err := d.client.EnqueueMany(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	for i, field := range []string{"reward_id", "amount", "product_id", "product_id"} {
		expectRefusal(t, items[i].Err, field, "")
		_, err := d.client.Enqueue(t.Context(), bad[i])
		expectRefusal(t, err, field, "")
	}
	d.expectStored(t, 0)
}

func TestRefusedAndConflictingRequestsDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	if _, err := d.client.Enqueue(t.Context(), reward("old", "u1", "1.00")); err != nil {
		t.Fatal(err)
	}
	items, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{
		reward("a", "u1", "1.00"), reward("b/", "u1", "1.00"), reward("old", "u2", "2.00"), reward("old", "u1", "1.00"),
		reward("a", "u1", "1.00"), reward("a", "u1", "1.01"), reward("c", "u3", "1.00"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var statuses []tasks.Status
	for _, item := range items {
		statuses = append(statuses, item.Receipt.Status)
	}
	want := []tasks.Status{tasks.Accepted, "", tasks.Conflicting, tasks.Replayed, tasks.Replayed, tasks.Conflicting, tasks.Accepted}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	wantFields := []tasks.Diff{{Field: "amount", Stored: `"1.00"`, Asked: `"2.00"`}, {Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}
	if diff := cmp.Diff(wantFields, items[2].Receipt.Fields); diff != "" {
		t.Errorf("fields of the conflict (-want +got):\n%s", diff)
	}
	if items[4].Receipt.ID != items[0].Receipt.ID || items[5].Receipt.ID != items[0].Receipt.ID {
		t.Error("receipts of one key name several requests")
	}
	d.expectStored(t, 3)
	if n := d.count(t, "SELECT count(*) FROM conflicts c JOIN requests r ON r.id = c.request_id WHERE r.key = 'old' AND c.fields::text LIKE '%user_id%'"); n != 1 {
		t.Errorf("%d conflicts of the old key are recorded, want 1", n)
	}
}

func TestOfOneKeyAskedTwiceInACallTheFirstIsAccepted(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	const keys = 100
	var payloads []tasks.Payload
	for _, amount := range []string{"1.00", "2.00"} {
		for i := range keys {
			payloads = append(payloads, ledgertest.Reward(fmt.Sprint("w", i*37%keys), "u1", amount))
		}
	}
	items, err := d.client.EnqueueMany(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	for i, item := range items {
		want := tasks.Accepted
		if i >= keys {
			want = tasks.Conflicting
		}
		if item.Err != nil || item.Receipt.Status != want {
			t.Fatalf("payload %d: %+v, want %s", i, item, want)
		}
	}
}

func TestOfManyWhoAskAtOnceOneIsAcceptedAndTheOthersAreReplaysOrConflicts(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{BatchMax: 40})
	other := newClient(t, d.db, nil, tasks.ClientConfig{Producer: "other"})
	const askers, keys = 64, 25
	receipts := make([][askers]tasks.Receipt, keys)
	var asking sync.WaitGroup
	for i := range askers {
		asking.Go(func() {
			client := []*tasks.Client{d.client, other}[i%2]
			for _, key := range rand.Perm(keys) {
				amount := "1.00"
				if i%4 == 3 {
					amount = "2.00"
				}
				receipt, err := client.Enqueue(t.Context(), reward(fmt.Sprint("r", key), "u1", amount))
				var conflict *tasks.ConflictError
				if err != nil && !errors.As(err, &conflict) || err == nil && receipt.Status == tasks.Conflicting {
					t.Errorf("%+v, %v", receipt, err)
				}
				receipts[key][i] = receipt
			}
		})
	}
	asking.Wait()
	conflicts := 0
	for key := range keys {
		winner := slices.IndexFunc(receipts[key][:], func(r tasks.Receipt) bool { return r.Status == tasks.Accepted })
		if winner < 0 {
			t.Fatalf("r%d was not accepted", key)
		}
		for i, receipt := range receipts[key] {
			same := (i%4 == 3) == (winner%4 == 3)
			switch {
			case i == winner:
			case receipt.ID != receipts[key][winner].ID:
				t.Errorf("r%d has two requests", key)
			case same && receipt.Status != tasks.Replayed, !same && receipt.Status != tasks.Conflicting:
				t.Errorf("r%d, asker %d: %+v, and asker %d was accepted", key, i, receipt, winner)
			case !same:
				conflicts++
			}
		}
	}
	d.expectStored(t, keys)
	if n := d.count(t, "SELECT count(*) FROM conflicts"); n != conflicts {
		t.Errorf("%d conflicts are recorded, %d were answered", n, conflicts)
	}
}

// Statements that insert the same keys in two orders deadlock; SortRequests is why these do not.
func TestCrossingBatchesOfTheSameKeysDoNotDeadlock(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	const askers, rounds, keys = 8, 5, 300
	var accepted atomic.Int64
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for round := range rounds {
				payloads := make([]tasks.Payload, keys)
				for i, key := range rand.Perm(keys) {
					payloads[i] = reward(fmt.Sprintf("%d-%d", round, key), fmt.Sprint("u", key), "1.00")
				}
				items, err := d.client.EnqueueMany(t.Context(), payloads)
				if err != nil {
					t.Error(err)
					return
				}
				for _, item := range items {
					if item.Receipt.Status == tasks.Accepted {
						accepted.Add(1)
					}
				}
			}
		})
	}
	asking.Wait()
	if accepted.Load() != rounds*keys {
		t.Errorf("%d accepted, want %d", accepted.Load(), rounds*keys)
	}
	d.expectStored(t, rounds*keys)
}

func TestRequestsOfATransactionExistIfItCommits(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	d := newDesk(t, tasks.NewDoorbell(client), tasks.ClientConfig{})
	rolledBack := errors.New("the order system changed its mind")
	var receipts []tasks.Receipt
	asked := []tasks.Payload{reward("a", "u1", "1.00"), reward("b", "u2", "1.00"), reward("a", "u1", "1.00")}
	enqueue := func(end error) error {
		return pgx.BeginFunc(t.Context(), d.db.Pool, func(tx pgx.Tx) (err error) {
			if receipts, err = d.client.EnqueueTx(t.Context(), tx, asked...); err != nil {
				return err
			}
			if receipts[0].Status != tasks.Accepted || receipts[2].Status != tasks.Replayed {
				t.Errorf("receipts are %+v", receipts)
			}
			return end
		})
	}
	if err := enqueue(rolledBack); !errors.Is(err, rolledBack) {
		t.Fatal(err)
	}
	d.expectStored(t, 0)
	if err := enqueue(nil); err != nil {
		t.Fatal(err)
	}
	d.expectStored(t, 2)
	if rings := pendingRings(t, client); len(rings) != 0 {
		t.Errorf("rung before anybody knew of the commit: %+v", rings)
	}
	d.client.Ring(receipts...)
	eventually(t, "both requests are rung for", func() bool { return len(pendingRings(t, client)) == 2 })
}

func TestRefusedRequestLeavesTheCallersTransactionUsable(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	err := pgx.BeginFunc(t.Context(), d.db.Pool, func(tx pgx.Tx) error {
		_, err := d.client.EnqueueTx(t.Context(), tx, reward("a", "u1", "1.00"), reward("b", "u1", "-1.00"))
		expectRefusal(t, err, "amount", "is -1.00")
		receipts, err := d.client.EnqueueTx(t.Context(), tx, reward("a", "u1", "1.00"), reward("a", "u1", "2.00"))
		if err == nil && receipts[1].Status != tasks.Conflicting {
			t.Errorf("receipts are %+v", receipts)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.expectStored(t, 1)
}

func TestReplayIsAnsweredWithTheStoredOutcome(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	applied := ledgertest.Recharge("r1", "u1", "10.00")
	rejected := ledgertest.Transfer("t1", "u1", "u2", "10.01")
	answers := b.Do(t, applied, rejected)
	for i, payload := range []tasks.Payload{applied, rejected} {
		for range 2 {
			receipt, err := b.Client.Enqueue(t.Context(), payload)
			if err != nil || receipt.Status != tasks.Replayed || receipt.Outcome == nil {
				t.Fatalf("%+v, %v", receipt, err)
			}
			if diff := cmp.Diff(answers[i].Outcome, *receipt.Outcome); diff != "" {
				t.Errorf("outcome (-decided +replayed):\n%s", diff)
			}
		}
	}
	// A conflict is not told what became of the other content.
	receipt, err := b.Client.Enqueue(t.Context(), ledgertest.Recharge("r1", "u1", "99.00"))
	var conflict *tasks.ConflictError
	if !errors.As(err, &conflict) || receipt.Outcome != nil || len(receipt.Fields) != 1 {
		t.Errorf("%+v, %v", receipt, err)
	}
	b.Expect(t, "user/u1/cash", "10.00")
}

func TestAcceptedRequestsAreRungFor(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	d := newDesk(t, tasks.NewDoorbell(client), tasks.ClientConfig{RingSize: 10})
	payloads := make([]tasks.Payload, 95)
	for i := range payloads {
		payloads[i] = reward(fmt.Sprint("r", i), "u1", "1.00")
	}
	items, err := d.client.EnqueueMany(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	single, err := d.client.Enqueue(t.Context(), reward("single", "u2", "1.00"))
	if err != nil {
		t.Fatal(err)
	}
	// A replay and a conflict ring for nothing: what they name has been rung for.
	if _, err := d.client.Enqueue(t.Context(), reward("single", "u2", "1.00")); err != nil {
		t.Fatal(err)
	}
	bells := []tasks.Bell{{Kind: single.Kind, Book: single.Book, ID: single.ID}}
	for _, item := range items {
		bells = append(bells, tasks.Bell{Kind: item.Receipt.Kind, Book: item.Receipt.Book, ID: item.Receipt.ID})
	}
	d.client.Close()
	rings := pendingRings(t, client)
	expectRungOnce(t, rings, bells)
	if len(rings) != 11 {
		t.Errorf("%d rings, want 10 of up to ten requests and one", len(rings))
	}
}

func TestDeadRedisDelaysNoAcceptance(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries, options.DialerRetries = -1, 1
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 100)
	d := newDesk(t, tasks.NewDoorbell(client), tasks.ClientConfig{OnRingError: func(err error) { failed <- err }})
	if receipt, err := d.client.Enqueue(t.Context(), reward("r1", "u1", "1.00")); err != nil || receipt.Status != tasks.Accepted {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if err := <-failed; err == nil {
		t.Error("a ring into the void is no error")
	}
	d.expectStored(t, 1)
}

func TestClientSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Books(0))
	if _, err := tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "shop"}); !errors.Is(err, tasks.ErrNoBooks) {
		t.Errorf("error is %v, want ErrNoBooks", err)
	}
	_, err := tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{})
	expectRefusal(t, err, "producer", "is missing")
	_, err = tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "shop", RingSize: 501})
	expectRefusal(t, err, "ring size", "is 501")
}

func TestProductThatIsNewerThanTheClientIsFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	sweep := &tasks.Sweep{ProductID: "newfund", BusinessDate: "2026-03-02"}
	_, err := d.client.Enqueue(t.Context(), sweep)
	expectRefusal(t, err, "product_id", "not offered")
	if _, err := d.db.Pool.Exec(t.Context(), `INSERT INTO policies (version, document, set_by)
VALUES (1, '{"products":[{"product_id":"newfund","min_sweep":"1.00"}]}', 'test')`); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.Enqueue(t.Context(), sweep); err != nil {
		t.Errorf("after the policy: %v", err)
	}
	d.expectStored(t, 1)
}
