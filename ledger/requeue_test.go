package ledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// sent is a refund:send that channel refuses.
func sent(number string, channel tasks.Source) *tasks.RefundOrder {
	return &tasks.RefundOrder{Number: number, RefundID: "f1", OrderID: "o1", UserID: "u1", Channel: channel,
		Captured: ledgertest.Yuan("5.00"), Amount: ledgertest.Yuan("5.00"), OccurredAt: ledgertest.Noon}
}

func TestDeadRequestsAreRequeuedByWhatTheyDiedOf(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, sent("rf00000001", tasks.SourceWeChat), sent("rf00000002", tasks.SourceWeChat), sent("rf00000003", tasks.SourceAlipay),
		ledgertest.Reward("w1", "u1", "1.00"), sent("rf00000004", tasks.SourceWeChat))
	for i, cause := range []string{"wechat: 100% NOT_ENOUGH", "wechat: PARAM_ERROR", "alipay: NOT_ENOUGH", "NOT_ENOUGH"} { // the last one lives
		if err := b.Ledger.Bury(t.Context(), receipts[i].Book, receipts[i].ID, cause); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		filter ledger.DeadFilter
		want   int64
	}{
		{ledger.DeadFilter{Kind: tasks.RefundApply}, 0},
		{ledger.DeadFilter{Kind: tasks.RefundSend, Channel: tasks.SourceUnionPay}, 0},
		{ledger.DeadFilter{Kind: tasks.RefundSend, Reason: "1% NOT"}, 0},
		{ledger.DeadFilter{Kind: tasks.RefundSend, Channel: tasks.SourceWeChat, Reason: "0% NOT_ENOUGH"}, 1},
		{ledger.DeadFilter{Kind: tasks.RefundSend}, 2},
		{ledger.DeadFilter{}, 1},
		{ledger.DeadFilter{}, 0},
	} {
		if dead, err := b.Reader.CountDead(t.Context(), c.filter); err != nil || dead != c.want {
			t.Errorf("%+v: %d dead requests are counted, %v; want %d", c.filter, dead, err, c.want)
		}
		if requeued, err := b.Ledger.RequeueDead(t.Context(), c.filter, "ada"); err != nil || requeued != c.want {
			t.Errorf("%+v: %d dead requests are requeued, %v; want %d", c.filter, requeued, err, c.want)
		}
	}
	var told, asked int
	if err := b.DB.Owner.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE p.kind = 'refund:send' AND p.attempts = 1)
		FROM attempts a JOIN pending p USING (book, request_id)
		WHERE a.event = 'requeued' AND a.detail = 'ada' AND p.state = 'accepted' AND p.refusals = 0`).Scan(&told, &asked); err != nil {
		t.Fatal(err)
	}
	if told != 4 || asked != 3 {
		t.Errorf("%d requests tell who requeued them, and %d refunds that their channel may have been asked; want 4, 3", told, asked)
	}
}

func TestManyDeadRequestsAreRequeuedOnceByTwoPeople(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	const dead = 2500
	payloads := make([]tasks.Payload, dead)
	for i := range payloads {
		payloads[i] = sent(fmt.Sprintf("rf%08d", i), tasks.SourceWeChat)
	}
	b.Accept(t, payloads...)
	if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE pending SET state = 'dead', last_error = 'x', accepted_at = now()"); err != nil {
		t.Fatal(err)
	}
	var requeued atomic.Int64
	var people sync.WaitGroup
	for _, who := range []string{"ada", "ben"} {
		people.Go(func() {
			n, err := b.Ledger.RequeueDead(t.Context(), ledger.DeadFilter{Kind: tasks.RefundSend}, who)
			if err != nil {
				t.Errorf("%s: %v", who, err)
			}
			requeued.Add(n)
		})
	}
	people.Wait()
	var told int64
	if err := b.DB.Owner.QueryRow(t.Context(), "SELECT count(*) FROM attempts WHERE event = 'requeued'").Scan(&told); err != nil {
		t.Fatal(err)
	}
	if left, err := b.Reader.CountDead(t.Context(), ledger.DeadFilter{}); err != nil || left != 0 || requeued.Load() != dead || told != dead {
		t.Errorf("%d are requeued and told of %d times, %d are dead, %v; want each of %d once", requeued.Load(), told, left, err, dead)
	}
}
