package unionpay_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
)

// recharge is the order that payment pays. It was opened, and given to UnionPay, a minute before it was paid.
func recharge() channel.PaymentOrder {
	return channel.PaymentOrder{OutTradeNo: "rc0123456789abcdef0123456789abcd", OpenedAt: paidAt.Add(-time.Minute + 999*time.Millisecond)}
}

// ordered is the content of the order's notice, once it was paid.
func ordered() map[string]string { return with(payment(), "txnTime", "20260302195830") }

// looked is an answer to a query of the order.
func looked(code string) map[string]string {
	content := ordered()
	maps.Copy(content, map[string]string{"origRespCode": code, "origRespMsg": "words[" + code + "]"})
	if code != "00" && code != "A6" { // as those of the test gateway
		for _, name := range []string{"accNo", "currencyCode", "exchangeRate", "payCardType", "payType", "queryId", "settleCurrencyCode", "settleDate",
			"traceNo", "traceTime"} {
			delete(content, name)
		}
		content["settleAmt"] = "0"
	}
	return content
}

func TestCodeOfAPaymentBecomesANotice(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	want, err := p.load(t, nil).ReadNotice(nil, p.notice(t, ordered()), noon)
	if err != nil || !want.OccurredAt.Equal(paidAt) {
		t.Fatalf("%+v, %v", want, err)
	}
	for _, code := range []string{"00", "A6"} {
		got, err := (&gateway{body: answerText(p.signer.sign(t, looked(code)))}).serve(t).QueryPayment(t.Context(), recharge())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-noticed +queried):\n%s", code, err, diff)
		}
	}
	for _, code := range []string{"03", "04", "05", "33", "39", "61", "73"} { // of an attempt that failed another may follow
		got, err := (&gateway{body: answerText(p.signer.sign(t, looked(code)))}).serve(t).QueryPayment(t.Context(), recharge())
		if !errors.Is(err, channel.ErrUnpaid) || got != (channel.Notice{}) {
			t.Errorf("%s: %+v, %v", code, got, err)
		}
	}
}

// UnionPay finds an order by number and time: the time is the order's own, in Shanghai, and its fractions are cut.
func TestQueryOfAPaymentNamesTheOrdersTime(t *testing.T) {
	t.Parallel()
	for _, zone := range []*time.Location{time.UTC, clock.Shanghai, time.FixedZone("", -11*3600)} {
		g := &gateway{body: answerText(thePlatform().signer.sign(t, looked("00")))}
		order := recharge()
		order.OpenedAt = order.OpenedAt.In(zone)
		if _, err := g.serve(t).QueryPayment(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"txnType": "00", "txnSubType": "00", "bizType": "000000", "orderId": order.OutTradeNo,
			"txnTime": "20260302195830", "merId": merID} { // TestRequestsAreSignedByTheMerchant looks into the signature
			if got := g.asked.Get(name); got != want || !strings.HasPrefix(g.path, "POST /query.do ") {
				t.Errorf("in %v, %s: %s %s, want %s", zone, g.path, name, got, want)
			}
		}
	}
}

func TestOrderThatUnionPayHasNeverSeenIsUnknown(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	bare := with(looked("05"), "respCode", "34")
	delete(bare, "origRespCode")
	for name, content := range map[string]map[string]string{"with the number": bare, "without it": with(bare, "orderId", "")} {
		got, err := (&gateway{body: answerText(p.signer.sign(t, content))}).serve(t).QueryPayment(t.Context(), recharge())
		if !errors.Is(err, channel.ErrUnknownNumber) || got != (channel.Notice{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{"of another number": answerText(p.signer.sign(t, with(bare, "orderId", "rc01234567"))),
		"unsigned": pairs(bare)} {
		notice, err := (&gateway{body: body}).serve(t).QueryPayment(t.Context(), recharge())
		channeltest.CheckNothingKnown(t, "unknown, "+name, notice, err, secrets())
	}
}

// A balance is credited on these answers alone.
func TestAnswersAboutPaymentsThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	genuine := func(content map[string]string) *gateway { return &gateway{body: answerText(p.signer.sign(t, content))} }
	answers := map[string]*gateway{
		"signed by the merchant": {body: answerText(p.merchant.sign(t, looked("00")))},
		"a field more":           {body: answerText(p.signer.sign(t, looked("00"))) + "&x=1"},
		"encoded":                {body: string(channeltest.Form(p.signer.sign(t, looked("00"))))},
		"a notice":               genuine(ordered()),
		"a refund's":             genuine(queried("00")),
		"a redirect":             {status: 302, body: answerText(p.signer.sign(t, looked("00")))},
		"of no body":             {},
	}
	for _, code := range []string{"00", "05", "63"} {
		answers[code+", unsigned"] = &gateway{body: pairs(looked(code))}
		for name, change := range map[string][2]string{"another order's": {"orderId", "rc0123456789abcdef0123456789abce"}, "of no order": {"orderId", ""},
			"of another time": {"txnTime", "20260302195831"}, "of no time": {"txnTime", ""}, "another merchant's": {"merId", "777290058110049"},
			"of a refund": {"txnType", "04"}, "of no type": {"txnType", ""}, "of no code": {"origRespCode", ""}, "of 5.0.0": {"version", "5.0.0"}} {
			answers[code+", "+name] = genuine(with(looked(code), change[0], change[1]))
		}
	}
	for name, change := range map[string][2]string{"of no payment": {"queryId", ""}, "of no amount": {"txnAmt", ""}, "of nothing": {"txnAmt", "0"},
		"of a broken amount": {"txnAmt", "100.00"}, "in dollars": {"currencyCode", "840"}, "in no currency": {"currencyCode", ""},
		"that says not when": {"traceTime", ""}, "at a broken time": {"traceTime", "1332195930"}, "that clears nothing": {"settleDate", ""}} {
		answers[name] = genuine(with(looked("00"), change[0], change[1]))
	}
	refusals := map[string]bool{} // by which are refusals of the order
	for code, refuses := range map[string]bool{"01": true, "02": false, "06": false, "10": true, "11": false, "12": true, "37": false, "99": true} {
		answers["refused with "+code] = genuine(with(looked("00"), "respCode", code))
		refusals["refused with "+code] = refuses
	}
	for _, code := range []string{"01", "02", "06", "12", "34", "60", "64", "99", "Z1"} {
		answers["an end "+code] = genuine(looked(code))
		refusals["an end "+code] = true
	}
	for name, g := range answers {
		notice, err := g.serve(t).QueryPayment(t.Context(), recharge())
		channeltest.CheckNothingKnown(t, name, notice, err, secrets())
		if errors.Is(err, channel.ErrRefused) != refusals[name] {
			t.Errorf("%s: %v; want refused %t", name, err, refusals[name])
		}
	}
}
