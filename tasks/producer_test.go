package tasks_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

func (d *desk) as(t *testing.T, producer string) *tasks.Client {
	t.Helper()
	view, err := d.client.As(producer)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestOneInsertServesManyProducersAndStoresEachWithItsOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	const shops, each = 16, 25
	var asking sync.WaitGroup
	for shop := range shops {
		view := d.as(t, fmt.Sprint("shop", shop))
		asking.Go(func() {
			for i := range each {
				receipt, err := view.Enqueue(t.Context(), reward(fmt.Sprintf("shop%d:%d", shop, i), "u1", "1.00"))
				if err != nil || receipt.Producer != fmt.Sprint("shop", shop) {
					t.Errorf("%+v, %v", receipt, err)
				}
			}
		})
	}
	asking.Wait()
	d.expectStored(t, shops*each)
	if n := d.count(t, "SELECT count(*) FROM requests WHERE producer <> split_part(key, ':', 1)"); n != 0 {
		t.Errorf("%d requests are stored with another's producer", n)
	}
	if n := d.count(t, "SELECT count(*) FROM (SELECT FROM requests GROUP BY xmin::text HAVING count(DISTINCT producer) > 1) AS shared"); n == 0 {
		t.Error("no insert served two producers")
	}
}

func TestEveryWayToAskRecordsTheProducer(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{Producer: "first"})
	view := d.as(t, "second")
	if _, err := view.EnqueueMany(t.Context(), []tasks.Payload{reward("many1", "u1", "1.00"), reward("many2", "u2", "1.00")}); err != nil {
		t.Fatal(err)
	}
	tx, err := d.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.EnqueueTx(t.Context(), tx, reward("tx", "u1", "1.00")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.Enqueue(t.Context(), reward("own", "u1", "1.00")); err != nil {
		t.Fatal(err)
	}
	if n := d.count(t, "SELECT count(*) FROM requests WHERE producer = CASE key WHEN 'own' THEN 'first' ELSE 'second' END"); n != 4 {
		t.Errorf("%d of 4 requests are stored with who asked", n)
	}
}

func TestConflictRecordsWhoAskedAndTellsWhoseTheStoredRequestIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{Producer: "first"})
	if _, err := d.client.Enqueue(t.Context(), reward("r1", "u1", "1.00")); err != nil {
		t.Fatal(err)
	}
	receipt, err := d.as(t, "second").Enqueue(t.Context(), reward("r1", "u1", "2.00"))
	if conflict := (*tasks.ConflictError)(nil); !errors.As(err, &conflict) || conflict.Receipt.Producer != "first" {
		t.Errorf("%+v, %v", receipt, err)
	}
	if receipt, err = d.as(t, "third").Enqueue(t.Context(), reward("r1", "u1", "1.00")); err != nil ||
		receipt.Status != tasks.Replayed || receipt.Producer != "first" {
		t.Errorf("replay by another: %+v, %v", receipt, err)
	}
	if n := d.count(t, "SELECT count(*) FROM conflicts WHERE producer = 'second'"); n != 1 || d.count(t, "SELECT count(*) FROM conflicts") != 1 {
		t.Errorf("%d conflicts of the second producer are recorded, want one and no other", n)
	}
}

func TestProducerMustBeAnID(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	for _, name := range []string{"", "two words", "a/b", "\x00", "店"} {
		view, err := d.client.As(name)
		if bad := (*tasks.FieldError)(nil); !errors.As(err, &bad) || bad.Field != "producer" || view != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
