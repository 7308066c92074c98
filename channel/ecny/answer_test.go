package ecny

import (
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// FuzzOpenAnswer reads what anyone could answer, and the same signed by the bank.
func FuzzOpenAnswer(f *testing.F) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	c := &Channel{merID: "308999170120FWX", bankKeys: bankKeys{&key.PublicKey}, clock: clock.Fixed(time.Unix(0, 0))}
	order := tasks.RefundOrder{Number: "rf01", Amount: money.FromFen(30_00), OccurredAt: time.Unix(0, 0)}
	f.Add(`{"returnCode":"SUCCESS","respCode":"SUCCESS"}`,
		`{"merId":"308999170120FWX","orderId":"rf01","refundAmt":"3000","currencyCode":"156","refundState":"S"}`)
	f.Add(`{"returnCode":"SUCCESS","respCode":"FAIL","errCode":"TRADE_OVERDUE"}`, `{"merId":"308999170120FWX","orderId":"rf01"}`)
	f.Add(`{"returnCode":"FAIL","errCode":"SYSTERM_ERROR","respMsg":"\u0000"}`, "")
	f.Add(`[`, `{"refundState":["S"]}`)
	f.Add(`{"returnCode":"SUCCESS","respCode":"SUCCESS"}`, `{"merId":"308999170120FWX","orderId":"rf01","cmbOrderId":"1","txnAmt":"3000",`+
		`"currencyCode":"156","payType":"EC","tradeState":"S","txnTime":"20260302195800","endDate":"20260302","endTime":"195930"}`)
	f.Add(`{"returnCode":"SUCCESS","respCode":"SUCCESS"}`, `{"merId":"308999170120FWX","orderId":"rf01","tradeState":"C"}`)
	f.Add(`{"returnCode":"SUCCESS","respCode":"FAIL","errCode":"UNPAIED_ORDER"}`, `{"merId":"308999170120FWX","orderId":"rf01"}`)
	f.Fuzz(func(t *testing.T, outer, content string) {
		if answer, err := c.open([]byte(outer)); err == nil {
			t.Errorf("took %v, which nobody has signed", answer)
		}
		fields := envelope{}
		if json.Unmarshal([]byte(outer), &fields) != nil || fields == nil {
			fields = envelope{}
		}
		fields[fieldContent] = content
		body, err := fields.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.open(body)
		if err != nil {
			return
		}
		refund, err := c.refundAnswer(answer, order, "refundState")
		if (refund == channel.RefundAnswer{}) != (err != nil) {
			t.Errorf("read %+v, %v", refund, err)
		}
		var said struct{ MerID, OrderID, RefundAmt, RefundState string }
		if err == nil && (json.Unmarshal([]byte(content), &said) != nil || said.MerID != c.merID || said.OrderID != "rf01" ||
			said.RefundAmt != "3000" || !answer.done()) {
			t.Errorf("read %+v from %q", refund, content)
		}
		paid := channel.PaymentOrder{OutTradeNo: "rf01", OpenedAt: order.OccurredAt}
		notice, err := channel.Notice{}, c.paymentRefusal(answer, paid)
		if answer.done() {
			notice, err = c.paymentAnswer(answer, paid)
		}
		channeltest.CheckPayment(t, paid, notice, err, nil)
		if err == nil && (json.Unmarshal([]byte(content), &said) != nil || said.MerID != c.merID || said.OrderID != "rf01") {
			t.Errorf("read %+v from %q", notice, content)
		}
		if ended, err := c.overdue(answer, "rf01"); err == nil && ended.State != channel.RefundFailed {
			t.Errorf("read %+v from %q", ended, content)
		}
	})
}
