package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// hotMerchant sold every order of a run: its account is the one that every refund debits.
const hotMerchant = "m-hot"

// occurred dates the run's requests.
var occurred = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

// orders are paid orders that refund rows give back, a yuan at a time: one of each user, so that a batch's refunds share nothing
// but the merchant.
type orders struct {
	count int
	round int // of refunds made so far: each has ids of its own
}

func userOf(i int) string  { return fmt.Sprintf("u%07d", i) }
func orderOf(i int) string { return fmt.Sprintf("o%07d", i) }

// prepareOrders recharges count users and captures an order of each, through the ledger.
func prepareOrders(ctx context.Context, e *environment, count int) (*orders, error) {
	l, err := e.openLedger(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var recharges, payments []tasks.Payload
	for i := range count {
		recharges = append(recharges, &tasks.Recharge{RechargeID: "r-" + userOf(i), UserID: userOf(i), Channel: tasks.SourceWeChat,
			ChannelTxnID: "wx-" + userOf(i), Amount: money.FromFen(1000_00), OccurredAt: occurred})
		payments = append(payments, &tasks.Payment{OrderID: orderOf(i), UserID: userOf(i), MerchantID: hotMerchant,
			Legs: []tasks.Leg{{Source: tasks.SourceCash, Amount: money.FromFen(1000_00)}}, OccurredAt: occurred})
	}
	for _, payloads := range [][]tasks.Payload{recharges, payments} {
		bells, err := e.accept(ctx, payloads)
		if err != nil {
			return nil, err
		}
		if err := applyAll(ctx, l, bells); err != nil {
			return nil, err
		}
	}
	return &orders{count: count}, e.settleTables(ctx)
}

// settleTables removes dead rows and gives the planner its figures, as autovacuum would in time, and has everything written that is
// still to be written, so that a row does not pay for what came before it.
func (e *environment) settleTables(ctx context.Context) error {
	for _, table := range []string{"pending", "accounts", "legs", "books", "requests", "outcomes", "transfers", "enrolments"} {
		if _, err := e.ownerPool.Exec(ctx, "VACUUM (ANALYZE) "+table); err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
	}
	if _, err := e.owner.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// acceptRefunds stores one refund of each of the first n orders and returns what to ring for.
func (o *orders) acceptRefunds(ctx context.Context, e *environment, n int) ([]tasks.Bell, error) {
	payloads := o.refunds(n)
	bells, err := e.accept(ctx, payloads)
	if err != nil {
		return nil, err
	}
	return bells, e.settleTables(ctx)
}

// refunds makes the next refund of each of the first n orders.
func (o *orders) refunds(n int) []tasks.Payload {
	o.round++
	payloads := make([]tasks.Payload, min(n, o.count))
	for i := range payloads {
		payloads[i] = &tasks.Refund{RefundID: fmt.Sprintf("rf%d-%s", o.round, orderOf(i)), OrderID: orderOf(i), UserID: userOf(i),
			Amount: money.FromFen(1_00), OccurredAt: occurred}
	}
	return payloads
}
