package inquiry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// hastenAllSQL waits for whoever stores an inquiry's answer; it locks in no order, and may be run again after a deadlock.
const hastenAllSQL = `
UPDATE recharge_inquiries
SET due_at = least(due_at, $1), try_at = $1
WHERE try_at > $1`

// HastenAll has every inquiry that waits made at once, now at the latest: notices are known to have failed, or a channel is back. It
// returns how many wait no longer. The workers begin within 10 s. What is being asked about now may be asked about twice, which does no
// harm. It may be called again, and by many.
func HastenAll(ctx context.Context, pool *pgxpool.Pool, now time.Time) (int, error) {
	tag, err := pool.Exec(ctx, hastenAllSQL, now)
	if err != nil {
		return 0, fmt.Errorf("hasten all inquiries: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// hastenSQL makes the inquiry of an order whose inquiries have ended anew, unless its payment is known.
const hastenSQL = `
INSERT INTO recharge_inquiries AS i (recharge_id, channel, due_at, try_at)
SELECT o.recharge_id, o.channel, $2, $2
FROM recharge_orders o
WHERE o.recharge_id = $1 AND NOT EXISTS (SELECT FROM requests WHERE kind = 'recharge:confirm' AND key = $1)
ON CONFLICT ON CONSTRAINT recharge_order_has_one_inquiry DO UPDATE SET due_at = least(i.due_at, $2), try_at = $2`

// Hasten has one recharge order asked about at once, now at the latest, also one whose inquiries have ended: its payer says that he has
// paid. It returns false when there is no such order, or its payment is known. It is otherwise as HastenAll.
func Hasten(ctx context.Context, pool *pgxpool.Pool, rechargeID string, now time.Time) (bool, error) {
	tag, err := pool.Exec(ctx, hastenSQL, rechargeID, now)
	if err != nil {
		return false, fmt.Errorf("hasten the inquiry of recharge order %s: %w", rechargeID, err)
	}
	return tag.RowsAffected() > 0, nil
}
