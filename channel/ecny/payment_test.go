package ecny_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// recharge is the order that payment pays.
func recharge() channel.PaymentOrder {
	return channel.PaymentOrder{OutTradeNo: "rc0123456789abcdef0123456789abcd", OpenedAt: noon.Add(-time.Hour)}
}

// looked is an answer about the order that is done.
func looked(t testing.TB, state string, changes map[string]any) map[string]string {
	t.Helper()
	content := with(payment(), "tradeState", state)
	if state != "S" && state != "R" {
		for _, name := range []string{"endDate", "endTime", "thirdOrderId", "ecnyPromotionDetail"} {
			delete(content, name)
		}
	}
	for name, value := range changes {
		with(content, name, value)
	}
	fields := envelope(channeltest.Encode(t, content))
	fields["returnCode"], fields["respCode"] = "SUCCESS", "SUCCESS"
	return fields
}

// lookedInVain is an answer about the order that refuses.
func lookedInVain(t *testing.T, code string, changes map[string]any) map[string]string {
	t.Helper()
	merged := map[string]any{"orderId": recharge().OutTradeNo}
	for name, value := range changes {
		merged[name] = value
	}
	return refusing(t, code, merged)
}

func TestStateOfAnOrderBecomesANotice(t *testing.T) {
	t.Parallel()
	b := theBank()
	for _, key := range []*sm2.PrivateKey{b.old, b.current} {
		ask := func(fields map[string]string) (channel.Notice, error) {
			return (&gateway{fields: fields, by: key}).serve(t).QueryPayment(t.Context(), recharge())
		}
		for _, state := range []string{"S", "R"} { // R: some of it was refunded since
			for _, changes := range []map[string]any{nil, {"endTime": nil}, {"endDate": "", "endTime": ""}} {
				content := payment()
				for name, value := range changes {
					with(content, name, value)
				}
				want, err := b.load(t, nil).ReadNotice(nil, b.notice(t, content), noon)
				if err != nil || want.TimeUnknown != (changes != nil) {
					t.Fatalf("%+v, %v", want, err)
				}
				want.Refunded = state == "R"
				got, err := ask(looked(t, state, changes))
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s, %v: %v (-noticed +queried):\n%s", state, changes, err, diff)
				}
			}
		}
		closed := channel.Notice{Channel: tasks.SourceECNY, Event: channel.EventClosed, MerchantID: merID, OutTradeNo: recharge().OutTradeNo}
		for _, state := range []string{"C", "D"} {
			got, err := ask(looked(t, state, nil))
			if diff := cmp.Diff(closed, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", state, err, diff)
			}
		}
		for name, fields := range map[string]map[string]string{"in progress": looked(t, "P", nil), "failed": looked(t, "F", nil), "not paid": lookedInVain(t, "UNPAIED_ORDER", nil),
			"expired": lookedInVain(t, "ORDERID_INVALID", nil), "not paid, of no content": without(lookedInVain(t, "UNPAIED_ORDER", nil), "biz_content")} {
			if got, err := ask(fields); !errors.Is(err, channel.ErrUnpaid) || got != (channel.Notice{}) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

func TestQueryOfAnOrderNamesItsNumber(t *testing.T) {
	t.Parallel()
	g := &gateway{fields: looked(t, "P", nil), by: theBank().current}
	_, _ = g.serve(t).QueryPayment(t.Context(), recharge()) // it is not paid
	want := `{"merId":"308999170120FWX","orderId":"rc0123456789abcdef0123456789abcd","userId":"N003525987"}`
	if g.request.RequestURI != "/gate/polypay/v1.0/mchorders/orderquery" || g.asked["biz_content"] != want ||
		g.request.Header.Get("apisign") == "" { // TestRequestsAreSignedByTheMerchant looks into the signatures
		t.Errorf("%s %v", g.request.RequestURI, g.asked)
	}
}

// The bank looks back 15 days: after that it denies what was.
func TestDenialOfAnOrderIsBelievedForFourteenDays(t *testing.T) {
	t.Parallel()
	b := theBank()
	for age, want := range map[time.Duration]bool{0: true, 14 * 24 * time.Hour: true, 14*24*time.Hour + time.Second: false, 100 * 24 * time.Hour: false} {
		c := (&gateway{fields: lookedInVain(t, "CMBORDERID_NOT_EXIST", nil), by: b.current}).serve(t)
		got, err := c.WithClock(clock.Fixed(recharge().OpenedAt.Add(age))).QueryPayment(t.Context(), recharge())
		if errors.Is(err, channel.ErrUnknownNumber) != want || err == nil || got != (channel.Notice{}) {
			t.Errorf("%v after the order: %+v, %v", age, got, err)
		}
	}
}

// A balance is credited on these answers alone.
func TestAnswersAboutOrdersThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	b := theBank()
	answers := map[string]*gateway{
		"in progress, and changed":  {fields: looked(t, "P", nil), by: b.current, after: func(f map[string]string) { f["biz_content"] = looked(t, "S", nil)["biz_content"] }},
		"with another field":        {fields: looked(t, "S", nil), by: b.current, after: func(f map[string]string) { f["x"] = "1" }},
		"of no content":             {fields: without(looked(t, "S", nil), "biz_content"), by: b.current},
		"of a list":                 {fields: replaced(looked(t, "S", nil), "biz_content", "[]"), by: b.current},
		"of no respCode":            {fields: without(looked(t, "S", nil), "respCode"), by: b.current},
		"not done":                  {fields: replaced(looked(t, "S", nil), "respCode", "FAIL"), by: b.current},
		"a redirect":                {fields: looked(t, "S", nil), by: b.current, status: 302},
		"of a gateway":              {raw: "bad gateway", status: 502},
		"a notice":                  {fields: without(without(looked(t, "S", nil), "returnCode"), "respCode"), by: b.current},
		"a refund's":                {fields: said(t, "S", nil), by: b.current},
		"a system error":            {fields: lookedInVain(t, "SYSTERM_ERROR", nil), by: b.current},
		"maintenance":               {fields: lookedInVain(t, "SYSTERM_MAINTAINING", nil), by: b.current},
		"another merchant's order":  {fields: lookedInVain(t, "MERID_MISMATCHED_ORDER", nil), by: b.current},
		"not paid, not understood":  {fields: replaced(lookedInVain(t, "UNPAIED_ORDER", nil), "returnCode", "FAIL"), by: b.current},
		"not paid, unsigned":        {fields: lookedInVain(t, "UNPAIED_ORDER", nil)},
		"not paid, another's":       {fields: lookedInVain(t, "UNPAIED_ORDER", map[string]any{"orderId": "rc1"}), by: b.current},
		"not paid, of another shop": {fields: lookedInVain(t, "UNPAIED_ORDER", map[string]any{"merId": "x"}), by: b.current},
		"unknown, unsigned":         {fields: lookedInVain(t, "CMBORDERID_NOT_EXIST", nil)},
		"unknown, not understood":   {fields: replaced(lookedInVain(t, "CMBORDERID_NOT_EXIST", nil), "returnCode", "FAIL"), by: b.current},
		"unknown, another's":        {fields: lookedInVain(t, "CMBORDERID_NOT_EXIST", map[string]any{"orderId": "rc1"}), by: b.current},
		"too old to be found":       {fields: lookedInVain(t, "CMB_ORDERID_NOT_EXIST", nil), by: b.current},
	}
	for _, state := range []string{"S", "P", "C"} {
		answers[state+", unsigned"] = &gateway{fields: looked(t, state, nil)}
		answers[state+", signed by the merchant"] = &gateway{fields: looked(t, state, nil), by: b.merchant}
		answers[state+", signed by a stranger"] = &gateway{fields: looked(t, state, nil), by: keyOf("stranger")}
		for name, changes := range map[string]map[string]any{"another order's": {"orderId": "rc1"}, "no order's": {"orderId": nil},
			"another merchant's": {"merId": "308999170120FWY"}, "no merchant's": {"merId": nil}, "of no state": {"tradeState": nil},
			"of a state to come": {"tradeState": "X"}, "of a state that is no text": {"tradeState": []string{"S"}}} {
			answers[state+", "+name] = &gateway{fields: looked(t, state, changes), by: b.current}
		}
	}
	for name, changes := range map[string]map[string]any{"of no payment": {"cmbOrderId": nil}, "of no amount": {"txnAmt": nil},
		"of a broken amount": {"txnAmt": "100.00"}, "of nothing": {"txnAmt": "0"}, "in dollars": {"currencyCode": "840"},
		"in no currency": {"currencyCode": nil}, "by WeChat Pay": {"payType": "WX"}, "by nothing": {"payType": nil},
		"at no time": {"txnTime": nil, "endDate": nil}, "at a broken time": {"endTime": "995930"}} {
		answers[name] = &gateway{fields: looked(t, "S", changes), by: b.current}
	}
	refusals := []string{"another merchant's order", "too old to be found"}
	for name, g := range answers {
		notice, err := g.serve(t).QueryPayment(t.Context(), recharge())
		channeltest.CheckNothingKnown(t, name, notice, err, secrets())
		if want := slices.Contains(refusals, name); errors.Is(err, channel.ErrRefused) != want {
			t.Errorf("%s: %v; want refused %t", name, err, want)
		}
	}
}
