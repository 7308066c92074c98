package proof_test

import (
	"context"
	"sync"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// slowChannel does not return from a call before it is let go.
type slowChannel struct {
	channel.Refunder
	called, letGo chan struct{}
	once          sync.Once
}

func (c *slowChannel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	c.once.Do(func() { close(c.called) })
	select {
	case <-c.letGo:
	case <-ctx.Done():
		return channel.RefundAnswer{}, context.Cause(ctx)
	}
	return c.Refunder.Refund(ctx, order)
}

// While a channel is asked, however long it takes, no transaction is open and no row is locked.
func TestNoTransactionIsOpenWhileAChannelIsAsked(t *testing.T) {
	t.Parallel()
	s := newStack(t, pgtest.New(t))
	slow := &slowChannel{Refunder: channel.NewSimulator(channel.SimulatorConfig{}), called: make(chan struct{}), letGo: make(chan struct{})}
	s.startWorker(t, s.db.Pool, func(c *worker.Config) {
		c.Refunders[tasks.SourceWeChat] = slow
	})
	s.accept(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "9.00")), ledgertest.Refund("f1", "o1", "u1", "9.00"))
	select {
	case <-slow.called:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	eventually(t, "every transaction ends while the channel has not answered", func() bool {
		return s.count(t, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`) == 0
	})
	s.expectBalance(t, ledger.ChannelRefunding(tasks.SourceWeChat), "9.00")
	// Others go on meanwhile.
	s.accept(t, ledgertest.Recharge("r1", "u1", "5.00"))
	eventually(t, "the user's recharge is applied", func() bool { return s.balance(t, ledger.UserCash("u1")).String() == "5.00" })
	close(slow.letGo)
	s.settled(t, 5) // capture, refund, refund:send, refund:answer, recharge
	s.expectBalance(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
}
