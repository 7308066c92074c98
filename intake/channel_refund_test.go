package intake_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

// endRefund books a channel's answer to the part of a refund of o1 that WeChat Pay gives back.
func (d door) endRefund(t *testing.T, id, amount string, result tasks.RefundEnd, consented bool) {
	t.Helper()
	ledgertest.Applied(t, d.Do(t, &tasks.RefundResult{Number: refund.Number(id, 1), RefundID: id, UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan(amount), Result: result, Consented: consented, Reason: "card void", OccurredAt: ledgertest.Noon})...)
}

func TestProducerLearnsHowItsRefundsThroughChannelsEnded(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	shop := d.as(accesstest.Key(t, d.DB, "test", access.PaymentsWrite, access.RefundsWrite, access.Read))
	toBalance := ledgertest.Refund("rf4", "o1", "u1", "10.00")
	toBalance.To = tasks.ToBalance
	for _, asked := range []*tasks.Refund{ledgertest.Refund("rf0", "o1", "u1", "10.00"), ledgertest.Refund("rf1", "o1", "u1", "10.00"),
		ledgertest.Refund("rf2", "o1", "u1", "10.00"), ledgertest.Refund("rf3", "o1", "u1", "10.00"),
		ledgertest.Refund("rf5", "o1", "u1", "10.00"), toBalance} {
		ledgertest.Applied(t, d.Do(t, asked)...)
	}
	d.endRefund(t, "rf1", "2.00", tasks.RefundSucceeded, true)
	d.endRefund(t, "rf2", "2.00", tasks.RefundFailed, true)
	d.endRefund(t, "rf3", "2.00", tasks.RefundFailed, false)
	d.endRefund(t, "rf5", "2.00", tasks.RefundFailed, true)
	ledgertest.Applied(t, d.Do(t, &tasks.RefundRevision{Number: refund.Number("rf5", 1), RefundID: "rf5", UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("2.00"), Result: tasks.RefundSucceeded, OccurredAt: ledgertest.Noon})...)
	yes, no := true, false
	part := func(id string, state ledger.ChannelRefundState, credited *bool, reason string) []intake.ChannelRefund {
		return []intake.ChannelRefund{{Leg: 1, Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("2.00"), Number: refund.Number(id, 1),
			State: state, Credited: credited, Reason: reason}}
	}
	want := map[string][]intake.ChannelRefund{
		"rf0": part("rf0", ledger.ChannelRefundProcessing, nil, ""),
		"rf1": part("rf1", ledger.ChannelRefundSucceeded, nil, ""),
		"rf2": part("rf2", ledger.ChannelRefundFailed, &yes, "card void"),
		"rf3": part("rf3", ledger.ChannelRefundFailed, &no, "card void"),
		"rf4": nil,
		"rf5": part("rf5", ledger.ChannelRefundSucceeded, &yes, ""), // it had failed, and its user was credited
	}
	var order intake.Order
	shop.do(t, http.MethodGet, "/v1/orders/o1", nil).decode(t, &order)
	inOrder, inRecords := map[string][]intake.ChannelRefund{}, map[string][]intake.ChannelRefund{}
	for _, item := range order.Refunds.Items {
		inOrder[item.RefundID] = item.Channels
	}
	for id := range want {
		var record intake.RequestRecord
		shop.do(t, http.MethodGet, "/v1/requests/refund:apply/"+id, nil).decode(t, &record)
		inRecords[id] = record.Channels
	}
	ignored := cmpopts.IgnoreFields(intake.ChannelRefund{}, "EndedAt")
	if diff := cmp.Diff(want, inOrder, ignored); diff != "" {
		t.Errorf("in the order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, inRecords, ignored); diff != "" {
		t.Errorf("in the records (-want +got):\n%s", diff)
	}
	for id, parts := range inOrder {
		for _, p := range parts {
			if ended := p.EndedAt != nil; ended == (p.State == ledger.ChannelRefundProcessing) {
				t.Errorf("%s is %s, ended at %v", id, p.State, p.EndedAt)
			}
		}
	}
}

func TestRefundThatCannotBeSentIsToldAsDead(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Refund("rf1", "o1", "u1", "10.00"))...)
	if _, err := d.DB.Owner.Exec(t.Context(), `UPDATE pending SET state = 'dead', last_error = 'gone'
WHERE request_id = (SELECT id FROM requests WHERE kind = 'refund:send')`); err != nil {
		t.Fatal(err)
	}
	var record intake.RequestRecord
	d.do(t, http.MethodGet, "/v1/requests/refund:apply/rf1", nil).decode(t, &record)
	if len(record.Channels) != 1 || record.Channels[0].State != ledger.ChannelRefundDead {
		t.Errorf("told %+v", record.Channels)
	}
}

// A refund that failed is sent again by a person, over HTTP; its order then tells of both numbers.
func TestRefundThatIsSentAgainHasBothNumbersInItsOrder(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Refund("rf1", "o1", "u1", "10.00"))...)
	d.endRefund(t, "rf1", "2.00", tasks.RefundFailed, false)
	_, found := d.caseKeys(t, "&open=true&kind=failed_refund")
	for by, status := range map[string]int{"settled": http.StatusUnprocessableEntity, "ada": http.StatusAccepted} {
		body := fmt.Sprintf(`{"case_id":%q,"by":%q,"note":"topped up"}`, found.ID, by)
		if got := d.do(t, http.MethodPost, "/v1/requests/case:return", strings.NewReader(body)); got.status != status {
			t.Fatalf("by %s: %d %s", by, got.status, got.body)
		}
	}
	ledgertest.Applied(t, d.Do(t, &tasks.CaseReturn{CaseID: found.ID, By: "ada", Note: "topped up"})...)
	again := wallet.ReturnNumber(found.ID)
	ledgertest.Applied(t, d.Do(t, &tasks.RefundResult{Number: again, RefundID: "rf1", UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("2.00"), Result: tasks.RefundSucceeded, OccurredAt: ledgertest.Noon})...)
	var order intake.Order
	d.do(t, http.MethodGet, "/v1/orders/o1", nil).decode(t, &order)
	no := false
	want := []intake.ChannelRefund{
		{Leg: 1, Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("2.00"), Number: refund.Number("rf1", 1), State: ledger.ChannelRefundFailed,
			Credited: &no, Reason: "card void", SentAgain: again},
		{Leg: 1, Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("2.00"), Number: again, State: ledger.ChannelRefundSucceeded},
	}
	if diff := cmp.Diff(want, order.Refunds.Items[0].Channels, cmpopts.IgnoreFields(intake.ChannelRefund{}, "EndedAt")); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
