package wechat_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
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

// unpaid is an answer about the order while nobody has paid it: of what a payment has, it has almost nothing.
func unpaid(state string) map[string]any {
	return map[string]any{"mchid": mchID, "appid": appID, "out_trade_no": recharge().OutTradeNo, "trade_state": state, "trade_state_desc": "订单未支付"}
}

// altered is a content with a change.
func altered(content map[string]any, change func(map[string]any)) map[string]any {
	change(content)
	return content
}

func TestStateOfAnOrderBecomesANotice(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for _, serial := range []string{p.serial(), publicID} {
		ask := func(content map[string]any) (channel.Notice, error) {
			g := &gateway{status: 200, body: string(channeltest.Encode(t, content)), serial: serial, at: noon}
			return g.serve(t).QueryPayment(t.Context(), recharge())
		}
		body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
		want, err := p.load(t, nil).ReadNotice(p.sign(t, body, noon, serial), body, noon)
		if err != nil {
			t.Fatal(err)
		}
		want.ID = "" // of the message
		for _, state := range []string{"SUCCESS", "REFUND"} {
			want.Refunded = state == "REFUND"
			got, err := ask(altered(payment(), func(m map[string]any) { m["trade_state"] = state }))
			if diff := cmp.Diff(want, got); diff != "" || err != nil || got.OccurredAt.Location() != time.UTC {
				t.Errorf("%s: %v (-noticed +queried):\n%s", state, err, diff)
			}
		}
		closed := channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventClosed, MerchantID: mchID, AppID: appID,
			OutTradeNo: recharge().OutTradeNo}
		for _, state := range []string{"CLOSED", "REVOKED"} {
			got, err := ask(unpaid(state))
			if diff := cmp.Diff(closed, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", state, err, diff)
			}
		}
		for _, state := range []string{"NOTPAY", "USERPAYING", "ACCEPT", "PAYERROR"} {
			if got, err := ask(unpaid(state)); !errors.Is(err, channel.ErrUnpaid) || got != (channel.Notice{}) {
				t.Errorf("%s: %+v, %v", state, got, err)
			}
		}
	}
}

func TestQueryOfAnOrderIsSignedWithItsMerchant(t *testing.T) {
	t.Parallel()
	g := &gateway{status: 200, body: string(channeltest.Encode(t, unpaid("NOTPAY"))), serial: publicID, at: noon}
	order := recharge()
	order.OutTradeNo = "rc/?#1"
	_, _ = g.serve(t).QueryPayment(t.Context(), order) // the answer is another order's
	if got := g.request.Method + " " + g.request.RequestURI; got != "GET /gate/v3/pay/transactions/out-trade-no/rc%2F%3F%231?mchid="+mchID {
		t.Error(got)
	}
	if !authorizationForm.MatchString(g.request.Header.Get("Authorization")) { // TestRequestsAreSignedByTheMerchant looks into it
		t.Error(g.request.Header)
	}
}

func TestOrderThatWeChatPayHasNeverSeenIsUnknown(t *testing.T) {
	t.Parallel()
	for _, serial := range []string{publicID, ""} {
		g := &gateway{status: 404, body: `{"code":"ORDER_NOT_EXIST","message":"订单不存在"}`, serial: serial, at: noon}
		if got, err := g.serve(t).QueryPayment(t.Context(), recharge()); !errors.Is(err, channel.ErrUnknownNumber) || got != (channel.Notice{}) {
			t.Errorf("signed by %q: %+v, %v", serial, got, err)
		}
	}
}

// A balance is credited on these answers alone.
func TestAnswersAboutPaymentsThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	drop := func(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }
	inAmount := func(change func(map[string]any)) func(map[string]any) {
		return func(m map[string]any) { change(m["amount"].(map[string]any)) }
	}
	answers := map[string]gateway{}
	for name, change := range map[string]func(map[string]any){
		"another order's": set("out_trade_no", "rc1"), "of no order": drop("out_trade_no"), "of no payment": drop("transaction_id"),
		"without a time": drop("success_time"), "of no amount": drop("amount"), "of no state": drop("trade_state"),
		"of a state to come": set("trade_state", "SETTLED"), "of a state in lower case": set("trade_state", "success"),
		"of a broken amount": inAmount(set("total", 100.5)), "of nothing": inAmount(set("total", 0)), "in dollars": inAmount(set("currency", "USD")),
		"in no currency": inAmount(drop("currency")), "another merchant's": set("mchid", "1900000108"), "of no merchant": drop("mchid"),
		"another app's": set("appid", "wx8888888888888888"), "of no app": drop("appid"),
	} {
		answers[name] = gateway{body: string(channeltest.Encode(t, altered(payment(), change))), serial: publicID, at: noon}
	}
	paid, waits := string(channeltest.Encode(t, payment())), string(channeltest.Encode(t, unpaid("NOTPAY")))
	maps.Copy(answers, map[string]gateway{
		"unsigned":             {body: paid},
		"unsigned, and unpaid": {body: waits},
		"unsigned, and closed": {body: string(channeltest.Encode(t, unpaid("CLOSED")))},
		"unpaid, another's": {body: string(channeltest.Encode(t, altered(unpaid("NOTPAY"), set("out_trade_no", "rc1")))), serial: publicID,
			at: noon},
		"unpaid, of another merchant": {body: string(channeltest.Encode(t, altered(unpaid("NOTPAY"), set("mchid", "1")))), serial: publicID,
			at: noon},
		"signed six minutes ago": {body: paid, serial: publicID, at: noon.Add(-6 * time.Minute)},
		"signed by a stranger":   {body: paid, serial: publicID, at: noon, change: func(h http.Header) { h.Set("Wechatpay-Serial", "1") }},
		"a probe":                {body: paid, serial: publicID, at: noon, change: probe},
		"with a field twice":     {body: paid[:len(paid)-1] + `,"trade_state":"SUCCESS"}`, serial: publicID, at: noon},
		"not JSON":               {body: "<html>", serial: publicID, at: noon},
		"empty":                  {serial: publicID, at: noon},
		"too large":              {body: strings.Repeat(" ", 2<<20), serial: publicID, at: noon},
		"a refund's":             {body: said(t, "SUCCESS", nil), serial: publicID, at: noon},
		"accepted":               {status: 202, body: paid, serial: publicID, at: noon},
		"system error":           {status: 500, body: `{"code":"SYSTEM_ERROR","message":"系统超时"}`, serial: publicID, at: noon},
		"of a proxy":             {status: 404, body: "<html>not found</html>"},
		"not found, signed wrongly": {status: 404, body: `{"code":"ORDER_NOT_EXIST","message":"订单不存在"}`, serial: publicID,
			at: noon.Add(-time.Hour)},
		"not found, of 200":      {body: `{"code":"ORDER_NOT_EXIST","message":"订单不存在"}`, serial: publicID, at: noon},
		"not found, of a refund": {status: 404, body: `{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}`, serial: publicID, at: noon},
	})
	for name, g := range answers {
		g.status = max(g.status, 200)
		notice, err := g.serve(t).QueryPayment(t.Context(), recharge())
		channeltest.CheckNothingKnown(t, name, notice, err, thePlatform().secrets())
		if foreign := strings.HasPrefix(name, "another merchant") || strings.HasPrefix(name, "another app"); foreign && !errors.Is(err, channel.ErrNotOurs) ||
			g.serial == "" && g.status == 200 && !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlySignedRefusalsOfTheOrderAreRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status       int
		code, serial string
		want         bool
	}{
		"a rule of business":           {400, "INVALID_REQUEST", publicID, true},
		"another merchant":             {404, "MCH_NOT_EXISTS", publicID, true},
		"a rule of business, unsigned": {400, "INVALID_REQUEST", "", false},
		"too often":                    {429, "FREQUENCY_LIMITED", publicID, false},
		"a bank's error":               {400, "BANK_ERROR", publicID, false},
		"a system error":               {500, "SYSTEM_ERROR", publicID, false},
	} {
		g := &gateway{status: c.status, body: `{"code":"` + c.code + `","message":"原因"}`, serial: c.serial, at: noon}
		if _, err := g.serve(t).QueryPayment(t.Context(), recharge()); errors.Is(err, channel.ErrRefused) != c.want || err == nil {
			t.Errorf("%s: %v; want refused %t", name, err, c.want)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	notice, err := thePlatform().load(t, map[string]any{"base_url": server.URL}).QueryPayment(t.Context(), recharge())
	channeltest.CheckNothingKnown(t, "a broken connection", notice, err, thePlatform().secrets())
}
