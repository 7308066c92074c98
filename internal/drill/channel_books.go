package drill

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// booked is a request as the books know it, with what it moved.
type booked struct {
	kind        tasks.Kind
	key         string
	channel     tasks.Source
	txnID       string
	caseID      string          // of a refund:send of a payment that was suspended
	end         tasks.RefundEnd // of a refund:answer
	state       string          // applied or rejected; otherwise that of its pending row
	fen         int64           // in all of its transfers
	transferred int             // how many transfers it made
}

const bookedSQL = `
SELECT r.kind, r.key, coalesce(r.payload ->> 'channel', ''), coalesce(r.payload ->> 'channel_txn_id', ''),
       CASE WHEN r.kind = 'refund:send' THEN coalesce(r.payload ->> 'case_id', '') ELSE '' END,
       CASE WHEN r.kind = 'refund:answer' THEN coalesce(r.payload ->> 'result', '') ELSE '' END, coalesce(o.result, p.state, ''),
       coalesce(t.fen, 0), coalesce(t.transfers, 0)
FROM requests r
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
LEFT JOIN pending p ON p.book = r.book AND p.request_id = r.id
LEFT JOIN (
    SELECT book, request_id, sum(amount_fen)::bigint AS fen, count(*) AS transfers
    FROM transfers
    GROUP BY book, request_id
) t ON t.book = r.book AND t.request_id = r.id`

const channelBalancesSQL = `
SELECT name, sum(balance_fen)::bigint
FROM accounts
WHERE kind IN ('channel_clearing', 'channel_refunding', 'suspense')
GROUP BY name`

// judge compares the channels' record, and what the shop was told, with the books.
func (d *Channels) judge(ctx context.Context, report *ChannelsReport, shop *shop, record []simulate.Entry) error {
	rows, err := d.Pool.Query(ctx, bookedSQL)
	if err != nil {
		return fmt.Errorf("read the books: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b booked, err error) {
		return b, row.Scan(&b.kind, &b.key, &b.channel, &b.txnID, &b.caseID, &b.end, &b.state, &b.fen, &b.transferred)
	})
	if err != nil {
		return fmt.Errorf("read the books: %w", err)
	}
	books := map[asked]booked{}
	funded := map[tasks.Source]map[string][]booked{}
	for _, b := range all {
		books[asked{b.kind, b.key}] = b
		if (b.kind == tasks.RechargeConfirm || b.kind == tasks.RechargeSuspend) && b.state == string(tasks.Applied) {
			if funded[b.channel] == nil {
				funded[b.channel] = map[string][]booked{}
			}
			funded[b.channel][b.txnID] = append(funded[b.channel][b.txnID], b)
		}
	}
	judgeRequests(report, shop, books)
	if err := d.judgeTold(ctx, report, all, books, record); err != nil {
		return err
	}
	expected := map[string]int64{}
	for _, entry := range record {
		switch {
		case entry.Kind == simulate.EntryRefund:
			judgeRefund(report, entry, books, expected)
		case entry.Notice != simulate.NoticeNone:
			judgePayment(report, entry, funded[entry.Channel][entry.ChannelTxnID], expected)
		}
	}
	shop.expect(books, expected)
	return d.judgeBalances(ctx, report, expected)
}

const newestMessageSQL = `SELECT coalesce(max(next_sequence), 1) - 1 FROM webhook_endpoints`

// judgeTold compares what the producer was told with the books. It is told of everything that is decided here but for payments under
// numbers that nobody gave, which are no order's.
func (d *Channels) judgeTold(ctx context.Context, report *ChannelsReport, all []booked, books map[asked]booked, record []simulate.Entry) error {
	var newest int64
	if err := d.Pool.QueryRow(ctx, newestMessageSQL).Scan(&newest); err != nil {
		return fmt.Errorf("read the endpoint: %w", err)
	}
	nobody := map[string]bool{}
	for _, entry := range record {
		nobody[entry.ChannelTxnID] = strings.HasPrefix(entry.OutTradeNo, nobodys)
	}
	due := map[asked]bool{}
	for _, b := range all {
		applied, isDue := b.state == string(tasks.Applied), false
		switch b.kind {
		case tasks.PaymentCapture, tasks.RefundApply, tasks.RechargeConfirm:
			isDue = applied || b.state == string(tasks.Rejected)
		case tasks.RefundAnswer, tasks.RefundRevise:
			isDue = applied
		case tasks.RechargeSuspend:
			isDue = applied && !nobody[b.txnID]
		}
		if isDue {
			due[asked{b.kind, b.key}] = true
		}
	}
	d.Inbox.judge(report, newest, due, books)
	return nil
}

// judgeRequests looks for what the shop was told is accepted.
func judgeRequests(report *ChannelsReport, shop *shop, books map[asked]booked) {
	report.Requests = len(shop.accepted)
	for request := range shop.accepted {
		if b, stored := books[request]; !stored {
			report.lost("%s %s was accepted and is not stored", request.kind, request.key)
		} else if b.state != string(tasks.Applied) && b.state != string(tasks.Rejected) {
			report.lost("%s %s was accepted and is %q", request.kind, request.key, b.state)
		}
	}
}

// judgePayment looks for the one booking of a payment, to the user or to suspense.
func judgePayment(report *ChannelsReport, entry simulate.Entry, bookings []booked, expected map[string]int64) {
	report.Payments++
	expected["channel/"+string(entry.Channel)+"/clearing"] -= entry.Amount.Fen()
	name := fmt.Sprintf("payment %s of %s through %s", entry.ChannelTxnID, entry.Amount, entry.Channel)
	switch {
	case len(bookings) == 0:
		report.lost("%s is not booked; its notice is %s", name, entry.Notice)
	case len(bookings) > 1 || bookings[0].transferred > 1:
		report.doubled("%s is booked %d times", name, len(bookings))
	case bookings[0].fen != entry.Amount.Fen():
		report.doubled("%s is booked as %s", name, money.FromFen(bookings[0].fen))
	case bookings[0].kind == tasks.RechargeSuspend:
		report.Suspended++
		expected["suspense/"+string(entry.Channel)] += entry.Amount.Fen()
	case entry.Amount != entry.Asked:
		report.doubled("%s is credited, and %s was asked for", name, entry.Asked)
	}
	if entry.ProbesAcknowledged > 0 {
		report.doubled("%s: %d wrong signatures were taken", name, entry.ProbesAcknowledged)
	}
}

// judgeRefund looks for the booked end of a refund, or of the return of a second payment: the last one, for a channel may pay what it had said failed. Whoever hears of the
// payment first books it at once.
func judgeRefund(report *ChannelsReport, entry simulate.Entry, books map[asked]booked, expected map[string]int64) {
	report.Refunds++
	name := fmt.Sprintf("refund %s of %s through %s", entry.RefundNumber, entry.Amount, entry.Channel)
	if !entry.FailedAt.IsZero() {
		report.Revised++
	}
	answer, stored := books[asked{tasks.RefundAnswer, entry.RefundNumber}]
	if revision, revised := books[asked{tasks.RefundRevise, entry.RefundNumber}]; revised {
		if entry.FailedAt.IsZero() || answer.end != tasks.RefundFailed {
			report.doubled("%s is revised, and its channel never changed its end", name)
		}
		revision.end = tasks.RefundSucceeded
		answer = revision
	}
	succeeded := entry.State == channel.RefundSucceeded
	suspended := books[asked{tasks.RefundSend, entry.RefundNumber}].caseID != ""
	if suspended {
		report.Returned++
	}
	switch {
	case succeeded && suspended:
		expected["suspense/"+string(entry.Channel)] -= entry.Amount.Fen()
		fallthrough
	case succeeded:
		expected["channel/"+string(entry.Channel)+"/clearing"] += entry.Amount.Fen()
	case !suspended: // otherwise it stands in suspense again
		expected["channel/"+string(entry.Channel)+"/refunding"] += entry.Amount.Fen() // a person decides
	}
	switch {
	case !stored:
		report.lost("%s has ended (%s), and the books do not know", name, entry.State)
	case answer.state != string(tasks.Applied):
		report.lost("%s has ended (%s), and its answer is %q", name, entry.State, answer.state)
	case (answer.end == tasks.RefundSucceeded) != succeeded:
		report.doubled("%s is %s, and booked as %s", name, entry.State, answer.end)
	case succeeded && answer.fen != entry.Amount.Fen():
		report.doubled("%s is booked as %s", name, money.FromFen(answer.fen))
	}
}

// expect adds what captured orders must have taken from the channels.
func (s *shop) expect(books map[asked]booked, expected map[string]int64) {
	for order, captured := range s.captures {
		if books[asked{tasks.PaymentCapture, order}].state == string(tasks.Applied) {
			expected["channel/"+string(captured.channel)+"/clearing"] -= captured.amount.Fen()
		}
	}
}

// judgeBalances compares what channels owe, and are owed, with the sum of what happened.
func (d *Channels) judgeBalances(ctx context.Context, report *ChannelsReport, expected map[string]int64) error {
	rows, err := d.Pool.Query(ctx, channelBalancesSQL)
	if err != nil {
		return fmt.Errorf("read the channels' accounts: %w", err)
	}
	var account string
	var fen int64
	if _, err := pgx.ForEachRow(rows, []any{&account, &fen}, func() error {
		if want := expected[account]; fen != want {
			say := report.doubled
			if strings.HasSuffix(account, "/clearing") == (fen > want) { // a channel's payments make its clearing negative
				say = report.lost
			}
			say("%s is %s, by the channels' record %s", account, money.FromFen(fen), money.FromFen(want))
		}
		delete(expected, account)
		return nil
	}); err != nil {
		return fmt.Errorf("read the channels' accounts: %w", err)
	}
	for account, want := range expected {
		if want != 0 {
			report.lost("%s is not there, by the channels' record it holds %s", account, money.FromFen(want))
		}
	}
	return nil
}
