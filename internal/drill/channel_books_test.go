package drill

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// The books must hold a refund's last end, heard of at once or after its failure.
func TestRefundsLastEndIsComparedWithTheBooks(t *testing.T) {
	t.Parallel()
	const (
		clearing  = "channel/wechat/clearing"
		refunding = "channel/wechat/refunding"
	)
	failed := simulate.Entry{Kind: simulate.EntryRefund, Channel: tasks.SourceWeChat, RefundNumber: "n1", Amount: money.FromFen(5_00),
		State: channel.RefundFailed}
	paid, revised := failed, failed
	paid.State = channel.RefundSucceeded
	revised.State, revised.FailedAt = channel.RefundSucceeded, time.Unix(1, 0)
	success := booked{end: tasks.RefundSucceeded, state: "applied", fen: 5_00}
	failure := booked{end: tasks.RefundFailed, state: "applied"}
	revision := booked{state: "applied", fen: 5_00}
	for name, c := range map[string]struct {
		entry         simulate.Entry
		answer        *booked
		revision      *booked
		account       string // that holds 5.00 by the channel's record
		lost, doubled string
	}{
		"paid":                                {paid, &success, nil, clearing, "", ""},
		"failed":                              {failed, &failure, nil, refunding, "", ""},
		"failed, then paid":                   {revised, &failure, &revision, clearing, "", ""},
		"heard of when it was paid":           {revised, &success, nil, clearing, "", ""},
		"only its failure is booked":          {revised, &failure, nil, clearing, "", "is succeeded, and booked as failed"},
		"it waits to be revised":              {revised, &failure, &booked{state: "parked"}, clearing, `its answer is "parked"`, ""},
		"revised as another amount":           {revised, &failure, &booked{state: "applied", fen: 4_99}, clearing, "", "booked as 4.99"},
		"revised, and it never failed":        {paid, &failure, &revision, clearing, "", "its channel never changed its end"},
		"booked as paid, and revised":         {revised, &success, &revision, clearing, "", "its channel never changed its end"},
		"nothing is booked":                   {revised, nil, nil, clearing, "the books do not know", ""},
		"booked as paid, and it never was":    {failed, &success, nil, refunding, "", "is failed, and booked as succeeded"},
		"revised before the channel has paid": {failed, &failure, &revision, refunding, "", "is failed, and booked as succeeded"},
	} {
		books, report, expected := map[asked]booked{}, &ChannelsReport{}, map[string]int64{}
		if c.answer != nil {
			books[asked{tasks.RefundAnswer, "n1"}] = *c.answer
		}
		if c.revision != nil {
			books[asked{tasks.RefundRevise, "n1"}] = *c.revision
		}
		judgeRefund(report, c.entry, books, expected)
		lost, doubled := strings.Join(report.Lost, "\n"), strings.Join(report.Doubled, "\n")
		if !strings.Contains(lost, c.lost) || !strings.Contains(doubled, c.doubled) || report.OK() != (c.lost+c.doubled == "") {
			t.Errorf("%s: lost %q, doubled %q; want %q and %q", name, lost, doubled, c.lost, c.doubled)
		}
		if !maps.Equal(expected, map[string]int64{c.account: 5_00}) || report.Refunds != 1 || (report.Revised == 1) != !c.entry.FailedAt.IsZero() {
			t.Errorf("%s: expected %v, report %+v", name, expected, report)
		}
	}
}
