package alipay_test

import (
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/tasks"
)

// recharge is the order that payment pays.
func recharge() channel.PaymentOrder {
	return channel.PaymentOrder{OutTradeNo: "rc0123456789abcdef0123456789abcd", OpenedAt: paidAt.Add(-time.Minute)}
}

// traded answers that the order is paid. It names neither the app nor the seller.
var traded = map[string]string{"code": "10000", "msg": "Success", "buyer_logon_id": "180***@189.cn", "buyer_pay_amount": "99.00",
	"buyer_user_id": "2088902112235014", "buyer_user_type": "PRIVATE", "invoice_amount": "99.00", "point_amount": "0.00", "receipt_amount": "99.00",
	"out_trade_no": "rc0123456789abcdef0123456789abcd", "send_pay_date": "2026-03-02 19:59:30", "total_amount": "100.00",
	"trade_no": "2026030222001435011433387454", "trade_status": "TRADE_SUCCESS"}

// untraded are the changes of an order that nobody has paid.
func untraded(status string) map[string]string {
	return with(traded, "trade_status", status, "send_pay_date", "-", "buyer_pay_amount", "0.00", "receipt_amount", "0.00")
}

func TestStateOfATradeBecomesANotice(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	want, err := p.load(t, nil).ReadNotice(nil, sign(t, p.newer, payment()), noon)
	if err != nil {
		t.Fatal(err)
	}
	want.ID = "" // of the message
	refunded := want
	refunded.Refunded = true
	closed := channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventClosed, MerchantID: sellerID, AppID: appID,
		OutTradeNo: recharge().OutTradeNo}
	for name, c := range map[string]struct {
		node string
		want channel.Notice
		err  error
	}{
		"paid":                     {node(t, traded), want, nil},
		"paid, and beyond refunds": {node(t, traded, "trade_status", "TRADE_FINISHED"), want, nil},
		"refunded as a whole":      {node(t, traded, "trade_status", "TRADE_CLOSED"), refunded, nil},
		"in yuan":                  {node(t, traded, "trans_currency", "CNY", "settle_currency", "CNY"), want, nil},
		"with our names":           {node(t, traded, "seller_id", sellerID, "app_id", appID), want, nil},
		"closed":                   {node(t, untraded("TRADE_CLOSED")), closed, nil},
		"waiting":                  {node(t, untraded("WAIT_BUYER_PAY")), channel.Notice{}, channel.ErrUnpaid},
		"waiting, without a trade": {node(t, untraded("WAIT_BUYER_PAY"), "trade_no", "-"), channel.Notice{}, channel.ErrUnpaid},
		"never heard of":           {node(t, refusal("40004", "ACQ.TRADE_NOT_EXIST")), channel.Notice{}, channel.ErrUnknownNumber},
	} {
		for _, key := range []*rsa.PrivateKey{p.older, p.newer, p.certified} {
			got, err := (&gateway{body: signedBy(t, key, c.node)}).serve(t, nil).QueryPayment(t.Context(), recharge())
			if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) {
				t.Errorf("%s: %v, want %v (-want +got):\n%s", name, err, c.err, diff)
			}
		}
	}
}

func TestQueryOfATradeNamesTheOrder(t *testing.T) {
	t.Parallel()
	g := &gateway{body: signedBy(t, thePlatform().newer, node(t, traded))}
	if _, err := g.serve(t, nil).QueryPayment(t.Context(), recharge()); err != nil {
		t.Fatal(err)
	}
	if g.asked.Get("method") != "alipay.trade.query" || g.asked.Get("biz_content") != `{"out_trade_no":"rc0123456789abcdef0123456789abcd"}` ||
		g.asked.Get("app_id") != appID { // TestRequestsAreSignedByTheApp looks into the signature
		t.Errorf("asked %v", g.asked)
	}
}

// A balance is credited on these answers alone.
func TestAnswersAboutTradesThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	answers := map[string]*gateway{}
	for name, text := range map[string]string{
		"another order's": node(t, traded, "out_trade_no", "rc1"), "no order's": node(t, traded, "out_trade_no", "-"),
		"of no trade": node(t, traded, "trade_no", "-"), "of no amount": node(t, traded, "total_amount", "-"),
		"of a broken amount":       node(t, traded, "total_amount", "100.0"),
		"of nothing":               node(t, traded, "total_amount", "0.00"),
		"of an amount as a number": strings.Replace(node(t, traded), `"100.00"`, `100.00`, 1),
		"without a time":           node(t, traded, "send_pay_date", "-"),
		"of a broken time":         node(t, traded, "send_pay_date", "2026-03-02T19:59:30"),
		"closed at a broken time":  node(t, traded, "trade_status", "TRADE_CLOSED", "send_pay_date", "yesterday"),
		"of no status":             node(t, traded, "trade_status", "-"),
		"of a status to come":      node(t, traded, "trade_status", "TRADE_PENDING"),
		"in dollars":               node(t, traded, "trans_currency", "USD"),
		"settled in dollars":       node(t, traded, "settle_currency", "USD"),
		"another seller's":         node(t, traded, "seller_id", "2088101117955612"),
		"another app's":            node(t, traded, "app_id", "2014072300007149"),
		"waiting, another's":       node(t, untraded("WAIT_BUYER_PAY"), "out_trade_no", "rc1"),
		"waiting, another app's":   node(t, untraded("WAIT_BUYER_PAY"), "app_id", "2014072300007149"),
		"closed, another's":        node(t, untraded("TRADE_CLOSED"), "out_trade_no", "rc1"),
		"told twice":               `{"code":"10000","trade_status":"WAIT_BUYER_PAY","trade_status":"TRADE_SUCCESS"}`,
		"of 10000 alone":           `{"code":"10000","msg":"Success"}`,
		"of no code":               node(t, traded, "code", "-"),
		"system error":             node(t, refusal("40004", "ACQ.SYSTEM_ERROR")),
		"busy":                     node(t, refusal("20000", "aop.ACQ.SYSTEM_ERROR")),
		"a parameter":              node(t, refusal("40004", "ACQ.INVALID_PARAMETER")),
	} {
		answers[name] = &gateway{body: signedBy(t, p.newer, text)}
	}
	for name, text := range map[string]string{"paid": node(t, traded), "waiting": node(t, untraded("WAIT_BUYER_PAY")),
		"closed": node(t, untraded("TRADE_CLOSED")), "never heard of": node(t, refusal("40004", "ACQ.TRADE_NOT_EXIST"))} {
		answers[name+", says a stranger"] = &gateway{body: signedBy(t, p.stranger, text)}
		answers[name+", unsigned"] = &gateway{body: func(name string) string { return `{"` + name + `":` + text + `}` }}
		answers[name+", of 500"] = &gateway{status: 500, body: signedBy(t, p.newer, text)}
		signed := signature(t, p.newer, text)
		answers[name+", of another method"] = &gateway{body: func(string) string {
			return `{"alipay_trade_refund_response":` + text + `,"sign":"` + signed + `"}`
		}}
	}
	for name, g := range answers {
		notice, err := g.serve(t, nil).QueryPayment(t.Context(), recharge())
		channeltest.CheckNothingKnown(t, name, notice, err, secrets())
		if foreign := strings.Contains(name, "another seller") || strings.Contains(name, "another app"); foreign != errors.Is(err, channel.ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
		if said := strings.HasPrefix(name, "a parameter"); said != errors.Is(err, channel.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
