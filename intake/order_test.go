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
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// payOrder captures order o1 of u1: 80 by cash, 20 by WeChat Pay; goods of 70 and 40, less a coupon of 10.
func (d door) payOrder(t *testing.T) {
	t.Helper()
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "80.00"),
		tasks.Leg{Source: tasks.SourceWeChat, Amount: ledgertest.Yuan("20.00"), ChannelTxnID: "wx-o1"})
	payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("70.00")},
		{LineID: "l2", Kind: tasks.Goods, Amount: ledgertest.Yuan("40.00")}, {LineID: "c1", Kind: tasks.Coupon, Amount: ledgertest.Yuan("10.00")}}
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc1", "u1", "100.00"), payment)...)
}

func yuan(texts ...string) []money.Amount {
	amounts := make([]money.Amount, len(texts))
	for i, text := range texts {
		amounts[i] = ledgertest.Yuan(text)
	}
	return amounts
}

// refundBody is a refund of o1 as it is asked over HTTP; more is further fields.
func refundBody(id, user, amount, more string) string {
	return fmt.Sprintf(`{"refund_id":%q,"order_id":"o1","user_id":%q,"amount":%q,"occurred_at":"2026-03-02T12:00:00+08:00"%s}`, id, user,
		amount, more)
}

func TestOrderTellsWhatCanStillBeRefunded(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	asked := ledgertest.Refund("rf1", "o1", "u1", "13.00")
	asked.Lines = []tasks.LineRefund{{LineID: "l1", Amount: ledgertest.Yuan("13.00")}}
	ledgertest.Applied(t, d.Do(t, asked, ledgertest.Refund("rf2", "o1", "u1", "50.00"))...)
	d.Accept(t, ledgertest.Refund("rf3", "o1", "u1", "90.00"))
	var got intake.Order
	d.do(t, http.MethodGet, "/v1/orders/o1", nil).decode(t, &got)
	want := intake.Order{OrderID: "o1", UserID: "u1", MerchantID: "m1", Captured: yuan("100.00")[0], Refunded: yuan("63.00")[0],
		Refundable: yuan("37.00")[0],
		Legs: []intake.OrderLeg{
			{Leg: 0, Source: tasks.SourceCash, Captured: yuan("80.00")[0], Refunded: yuan("50.40")[0], Refundable: yuan("29.60")[0]},
			{Leg: 1, Source: tasks.SourceWeChat, ChannelTxnID: "wx-o1", Captured: yuan("20.00")[0], Refunded: yuan("12.60")[0],
				Refundable: yuan("7.40")[0]}},
		Lines: []intake.OrderLine{
			// What is left of l1 by itself is more than the order still holds.
			{LineID: "l1", Kind: tasks.Goods, Amount: yuan("70.00")[0], Paid: yuan("63.64")[0], Refunded: yuan("13.00")[0], Refundable: yuan("37.00")[0]},
			{LineID: "l2", Kind: tasks.Goods, Amount: yuan("40.00")[0], Paid: yuan("36.36")[0], Refundable: yuan("36.36")[0]},
			{LineID: "c1", Kind: tasks.Coupon, Amount: yuan("10.00")[0]}},
		Refunds: intake.OrderRefundsPage{Items: []intake.OrderRefund{
			{RefundID: "rf1", Amount: yuan("13.00")[0], Lines: asked.Lines, State: "applied"},
			{RefundID: "rf2", Amount: yuan("50.00")[0], State: "applied"},
			{RefundID: "rf3", Amount: yuan("90.00")[0], State: "accepted"}}},
	}
	ignored := cmp.Options{cmpopts.IgnoreFields(intake.Order{}, "CapturedAt"),
		cmpopts.IgnoreFields(intake.OrderRefund{}, "ID", "AcceptedAt", "DecidedAt", "Detail", "Channels")}
	if diff := cmp.Diff(want, got, ignored...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, path := range []string{"/v1/orders/none", "/v1/orders/%FF", "/v1/orders/none/refunds"} {
		d.do(t, http.MethodGet, path, nil).problem(t, http.StatusNotFound)
	}
}

func TestRefundsOfAnOrderArePaged(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	for i := range 5 {
		ledgertest.Applied(t, d.Do(t, ledgertest.Refund(fmt.Sprintf("rf%d", i), "o1", "u1", "1.00"))...)
	}
	var ids []string
	for path := "/v1/orders/o1/refunds?limit=2"; path != ""; {
		var page intake.OrderRefundsPage
		got := d.do(t, http.MethodGet, path, nil)
		got.decode(t, &page)
		for _, item := range page.Items {
			ids = append(ids, item.RefundID)
		}
		if path = ""; page.Next != "" {
			path = "/v1/orders/o1/refunds" + linked(t, got)
			ledgertest.Applied(t, d.Do(t, ledgertest.Refund("late-"+ids[len(ids)-1], "o1", "u1", "1.00"))...) // while somebody pages
		}
	}
	if want := "rf0 rf1 rf2 rf3 rf4 late-rf1 late-rf3 late-late-rf1"; strings.Join(ids, " ") != want {
		t.Errorf("refunds %v, want %s", ids, want)
	}
}

// linked is where an answer's header says that the next page is.
func linked(t *testing.T, got answer) string {
	t.Helper()
	link, ok := strings.CutSuffix(got.header.Get("Link"), `>; rel="next"`)
	if !ok || !strings.HasPrefix(link, "<?") {
		t.Fatalf("Link: %q", got.header.Get("Link"))
	}
	return link[1:]
}

func TestRefundsOfOtherProducersAreHiddenInAnOrder(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Refund("rf1", "o1", "u1", "1.00"))...)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.Read))
	for _, c := range []struct {
		door door
		want int
	}{{d, 1}, {shop, 0}} {
		var order intake.Order
		var page intake.OrderRefundsPage
		c.door.do(t, http.MethodGet, "/v1/orders/o1", nil).decode(t, &order)
		c.door.do(t, http.MethodGet, "/v1/orders/o1/refunds", nil).decode(t, &page)
		if len(order.Refunds.Items) != c.want || len(page.Items) != c.want || order.Refunded.String() != "1.00" {
			t.Errorf("%d and %d refunds, %s refunded; want %d", len(order.Refunds.Items), len(page.Items), order.Refunded, c.want)
		}
	}
}

func TestPreviewTellsWhatTheRefundThenDoes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.payOrder(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc2", "u2", "1.00"))...)
	for _, c := range []struct {
		name, body string
		want       intake.RefundPreview
	}{
		{"back to each leg", refundBody("rf1", "u1", "10.00", ""), intake.RefundPreview{State: "applied", Parts: []intake.RefundPart{
			{Leg: 0, Source: tasks.SourceCash, Amount: yuan("8.00")[0], To: refund.ToCash},
			{Leg: 1, Source: tasks.SourceWeChat, Amount: yuan("2.00")[0], To: refund.ToChannel, Number: refund.Number("rf1", 1)}}}},
		{"to the balance", refundBody("rf2", "u1", "10.00", `,"to":"balance"`), intake.RefundPreview{State: "applied", Parts: []intake.RefundPart{
			{Leg: 0, Source: tasks.SourceCash, Amount: yuan("8.00")[0], To: refund.ToCash},
			{Leg: 1, Source: tasks.SourceWeChat, Amount: yuan("2.00")[0], To: refund.ToCash}}}},
		{"by line", refundBody("rf3", "u1", "5.00", `,"lines":[{"line_id":"l2","amount":"5.00"}]`), intake.RefundPreview{State: "applied",
			Parts: []intake.RefundPart{{Leg: 0, Source: tasks.SourceCash, Amount: yuan("4.00")[0], To: refund.ToCash},
				{Leg: 1, Source: tasks.SourceWeChat, Amount: yuan("1.00")[0], To: refund.ToChannel, Number: refund.Number("rf3", 1)}},
			Lines: []intake.RefundPreviewLine{{LineID: "l2", PerLeg: yuan("4.00", "1.00")}}}},
		{"too much", refundBody("rf4", "u1", "100.01", ""), intake.RefundPreview{State: "rejected", Reason: tasks.ExceedsRefundable}},
		{"another user", refundBody("rf5", "u2", "1.00", ""), intake.RefundPreview{State: "rejected", Reason: tasks.OrderOfAnotherUser}},
		{"no such line", refundBody("rf6", "u1", "1.00", `,"lines":[{"line_id":"l9","amount":"1.00"}]`),
			intake.RefundPreview{State: "rejected", Reason: tasks.UnknownLine}},
		{"before its payment", strings.Replace(refundBody("rf7", "u1", "1.00", ""), `"o1"`, `"o9"`, 1),
			intake.RefundPreview{State: "parked", WaitsFor: "payment:capture/o9"}},
	} {
		stored := d.stored(t)
		var got intake.RefundPreview
		answered := d.do(t, http.MethodPost, "/v1/refunds/preview", strings.NewReader(c.body))
		answered.decode(t, &got)
		ignored := cmp.Options{cmpopts.IgnoreFields(intake.RefundPreview{}, "Detail"), cmpopts.EquateEmpty()}
		if diff := cmp.Diff(c.want, got, ignored...); diff != "" || answered.status != http.StatusOK {
			t.Errorf("%s: %d (-want +got):\n%s", c.name, answered.status, diff)
		}
		if d.stored(t) != stored {
			t.Errorf("%s: the preview stored something", c.name)
		}
		d.previewHolds(t, c.name, c.body, got)
	}
}

// previewHolds asks for the refund itself: what becomes of it must be what the preview told.
func (d door) previewHolds(t *testing.T, name, body string, preview intake.RefundPreview) {
	t.Helper()
	var receipt tasks.Receipt
	d.post(t, tasks.RefundApply, body).decode(t, &receipt)
	d.Apply(t, receipt)
	record, err := d.Reader.Record(t.Context(), tasks.RefundApply, receipt.Key)
	if err != nil {
		t.Fatal(err)
	}
	told := intake.RefundPreview{State: record.State, WaitsFor: record.WaitsFor}
	if record.Outcome != nil {
		told.Reason, told.Detail = record.Outcome.Reason, record.Outcome.Detail
	}
	preview.Parts, preview.Lines = nil, nil
	if diff := cmp.Diff(told, preview); diff != "" {
		t.Errorf("%s (-what became of it +preview):\n%s", name, diff)
	}
}

func TestPreviewOfAnOrderThatIsPaidElsewhereIsRejected(t *testing.T) {
	t.Parallel()
	d := open(t)
	other := "u2"
	for i := 3; tasks.BookOf(other, d.Client.Books()) == tasks.BookOf("u1", d.Client.Books()); i++ {
		other = fmt.Sprintf("u%d", i)
	}
	d.Accept(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "8.00"))) // asked, and not captured yet
	var got intake.RefundPreview
	d.do(t, http.MethodPost, "/v1/refunds/preview", strings.NewReader(refundBody("rf1", other, "1.00", ""))).decode(t, &got)
	if got.State != "rejected" || got.Reason != tasks.OrderOfAnotherUser {
		t.Errorf("preview %+v", got)
	}
	d.previewHolds(t, "paid elsewhere", refundBody("rf1", other, "1.00", ""), got)
	d.do(t, http.MethodPost, "/v1/refunds/preview", strings.NewReader(refundBody("rf2", "u1", "1.00", ""))).decode(t, &got)
	if got.State != "parked" {
		t.Errorf("of its own user: %+v", got)
	}
	ledgertest.RejectedFor(t, d.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "8.00")))[0], tasks.NoAccount)
	got = intake.RefundPreview{}
	d.do(t, http.MethodPost, "/v1/refunds/preview", strings.NewReader(refundBody("rf3", "u1", "1.00", ""))).decode(t, &got)
	if got.State != "rejected" || got.Reason != tasks.PaymentRejected {
		t.Errorf("of a rejected payment: %+v", got)
	}
	d.previewHolds(t, "payment rejected", refundBody("rf3", "u1", "1.00", ""), got)
}
