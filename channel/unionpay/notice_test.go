package unionpay_test

import (
	"bytes"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestPaymentIsReadFromTheNoticeThatSaysSo(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	want := channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventPaid, MerchantID: merID,
		OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "952603021959303028398", Amount: money.FromFen(100_00),
		OccurredAt: paidAt}
	for _, code := range []string{"00", "A6"} {
		for _, now := range []time.Time{noon, noon.AddDate(0, 0, 3)} { // a redelivery, or somebody's replay, reads the same
			got, err := c.ReadNotice(nil, p.notice(t, with(payment(), "respCode", code)), now)
			if diff := cmp.Diff(want, got); diff != "" || err != nil || got.OccurredAt.Location() != time.UTC {
				t.Errorf("code %s: %v (-want +got):\n%s", code, err, diff)
			}
		}
	}
}

func TestPaymentIsMadeWhenItWasPassedOnAndNotWhenItWasOrdered(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, times := range []struct{ ordered, passedOn, want string }{
		{"20260302195930", "0302195930", "2026-03-02T19:59:30+08:00"},
		{"20260302195930", "0302211500", "2026-03-02T21:15:00+08:00"}, // the payer took his time
		{"20261231235930", "0101000010", "2027-01-01T00:00:10+08:00"},
		{"20270101000003", "1231235958", "2026-12-31T23:59:58+08:00"}, // clocks differ
		{"20280228235959", "0229000101", "2028-02-29T00:01:01+08:00"},
	} {
		content := with(with(payment(), "txnTime", times.ordered), "traceTime", times.passedOn)
		got, err := c.ReadNotice(nil, p.notice(t, content), noon)
		want, wrong := time.Parse(time.RFC3339, times.want)
		if err != nil || wrong != nil || !got.OccurredAt.Equal(want) {
			t.Errorf("ordered %s and passed on %s it is paid at %s (%v), want %s", times.ordered, times.passedOn, got.OccurredAt, err, times.want)
		}
	}
	for _, passedOn := range []string{"0229000101", "030219593", "03021959300", "1302195930"} { // 2026 and its neighbours have no such day
		if got, err := c.ReadNotice(nil, p.notice(t, with(payment(), "traceTime", passedOn)), noon); !errors.Is(err, channel.ErrMalformed) {
			t.Errorf("passed on %s: %+v, %v", passedOn, got, err)
		}
	}
}

func TestPaymentThatDidNotSucceedMovesNothing(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, code := range []string{"01", "03", "04", "05", "12", "34", "60", "64", "99", "a6", "0", "000"} {
		got, err := c.ReadNotice(nil, p.notice(t, with(payment(), "respCode", code)), noon)
		if diff := cmp.Diff(channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventOther, MerchantID: merID,
			OccurredAt: paidAt}, got); diff != "" || err != nil {
			t.Errorf("code %s: %v (-want +got):\n%s", code, err, diff)
		}
	}
}

func TestRefundNoticesSayHowTheRefundEnded(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, kind := range []string{"04", "31"} {
		for code, answer := range map[string]channel.RefundAnswer{
			"00": {State: channel.RefundSucceeded},
			"A6": {State: channel.RefundSucceeded},
			"03": {State: channel.RefundProcessing},
			"05": {State: channel.RefundProcessing},
			"63": {State: channel.RefundFailed, Reason: "63 state of the card forbids it"},
			"45": {State: channel.RefundFailed, Reason: "45 payment was refunded or voided before"},
			"01": {State: channel.RefundProcessing}, // not certain: a query tells
			"60": {State: channel.RefundProcessing},
			"Z9": {State: channel.RefundProcessing},
		} {
			for name, currency := range map[string]string{"": "156", "no currency": ""} {
				content := with(with(refunded(code), "txnType", kind), "currencyCode", currency)
				got, err := c.ReadNotice(nil, p.notice(t, content), noon)
				if diff := cmp.Diff(channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventRefund, MerchantID: merID,
					ChannelTxnID: "952603011959303028398", Amount: money.FromFen(30_00), OccurredAt: paidAt,
					RefundNumber: "rf0123456789abcdef0123456789abcd", Refund: answer}, got); diff != "" || err != nil {
					t.Errorf("type %s, code %s %s: %v (-want +got):\n%s", kind, code, name, err, diff)
				}
			}
		}
	}
	if got, err := c.ReadNotice(nil, p.notice(t, with(refunded("00"), "origQryId", "")), noon); err != nil || got.ChannelTxnID != "" {
		t.Errorf("without the payment: %+v, %v", got, err)
	}
}

// An answer is signed by the same key, and anybody who has seen one can send it to where notices are taken. It is about something else: its
// respCode says whether a query worked, or whether a refund was taken.
func TestAnswersAreNoNotices(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, answer := range map[string]map[string]string{
		"a query of a refund that failed":       queried("63"),
		"a query of a refund under way":         queried("05"),
		"a query of a refund that succeeded":    queried("00"),
		"a refund that was taken":               accepted("00"),
		"a refund that may have been taken":     with(accepted("A6"), "currencyCode", "156"),
		"a refund whose repeat is refused":      accepted("45"),
		"a query of a payment that failed":      with(payment(), "origRespCode", "63"),
		"a query of a payment that succeeded":   with(with(payment(), "origRespCode", "00"), "origRespMsg", "成功[0000000]"),
		"a query with no code but its words":    with(payment(), "origRespMsg", "成功[0000000]"),
		"a query of another transaction":        with(with(payment(), "txnType", "79"), "origRespCode", "00"),
		"a query of a refund, with every field": with(refunded("00"), "origRespCode", "63"),
	} {
		refused(t, c, name, p.notice(t, answer), channel.ErrMalformed)
	}
}

// What no answer to a request has: when and under which number the transaction went to the bank and, once it succeeded, what is cleared.
func TestNoticesOfAnEndHaveItsMarks(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, mark := range []string{"settleAmt", "settleDate", "traceNo", "traceTime"} {
		for _, value := range []string{"", "-1", "x", "1 ", "１", strings.Repeat("1", 15)} {
			for name, content := range map[string]map[string]string{"payment": payment(), "refund": refunded("00"),
				"payment with defects": with(payment(), "respCode", "A6"), "void": with(refunded("00"), "txnType", "31")} {
				refused(t, c, name+" with "+mark+" "+strconv.Quote(value), p.notice(t, with(content, mark, value)), channel.ErrMalformed)
			}
			if strings.HasPrefix(mark, "trace") {
				refused(t, c, "failed refund with "+mark+" "+strconv.Quote(value), p.notice(t, with(refunded("63"), mark, value)),
					channel.ErrMalformed)
			}
		}
	}
}

func TestEventsThatMoveNothingAreReadAsOthers(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, kind := range []string{"00", "02", "03", "11", "32", "33", "79", "1", "001"} {
		got, err := c.ReadNotice(nil, p.notice(t, with(payment(), "txnType", kind)), noon)
		if diff := cmp.Diff(channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventOther, MerchantID: merID,
			OccurredAt: paidAt}, got); diff != "" || err != nil {
			t.Errorf("type %s: %v (-want +got):\n%s", kind, err, diff)
		}
	}
}

// An escape may be written in capitals or not; then the fields are the same, and so must be what is read.
func TestNoOtherByteOfTheMessageIsTaken(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := p.notice(t, payment())
	want, err := c.ReadNotice(nil, body, noon)
	if err != nil {
		t.Fatal(err)
	}
	same := func(other []byte) bool {
		before, err1 := url.ParseQuery(string(body))
		after, err2 := url.ParseQuery(string(other))
		return err1 == nil && err2 == nil && cmp.Equal(before, after)
	}
	for i := range body {
		for _, bit := range []byte{1, 1 << (i % 8), 0x20} {
			other := bytes.Clone(body)
			other[i] ^= bit
			got, err := c.ReadNotice(nil, other, noon)
			if same(other) {
				if err != nil || got != want {
					t.Errorf("byte %d: the same fields are read as %+v, %v", i, got, err)
				}
				continue
			}
			if got != (channel.Notice{}) || !errors.Is(err, channel.ErrNotGenuine) && !errors.Is(err, channel.ErrMalformed) {
				t.Errorf("byte %d ^ %x: %+v, %v", i, bit, got, err)
			}
		}
		if got, err := c.ReadNotice(nil, body[:i], noon); err == nil {
			t.Errorf("the first %d bytes: %+v", i, got)
		}
	}
}

func TestCertificateCountsWithItsLineEnds(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	signed := p.signer.sign(t, payment())
	for name, other := range map[string]string{"LF": strings.ReplaceAll(p.signer.text(), "\r\n", "\n"),
		"a newline more": p.signer.text() + "\r\n", "spaces": strings.ReplaceAll(p.signer.text(), "\r\n", " ")} {
		refused(t, c, name, channeltest.Form(with(signed, "signPubKeyCert", other)), channel.ErrNotGenuine)
	}
	lf := with(payment(), "signPubKeyCert", strings.ReplaceAll(p.signer.text(), "\r\n", "\n"))
	if _, err := c.ReadNotice(nil, p.notice(t, lf), noon); err != nil {
		t.Errorf("signed with LF: %v", err)
	}
}

func TestFieldsCannotBeAddedDroppedMergedOrSplit(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, change := range map[string]func(map[string]string){
		"a field more":        func(m map[string]string) { m["extra"] = "1" },
		"an empty field more": func(m map[string]string) { m["extra"] = "" },
		"a field less":        func(m map[string]string) { delete(m, "accNo") },
		"two fields as one":   func(m map[string]string) { m["accNo"] += "&accessType=0"; delete(m, "accessType") },
		"within braces":       func(m map[string]string) { m["respMsg"] += "&settleAmt=10000"; delete(m, "settleAmt") },
	} {
		signed := p.signer.sign(t, payment())
		change(signed)
		body := channeltest.Form(signed)
		if got, err := c.ReadNotice(nil, body, noon); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Two messages with one signed text: only the one that is cut at each & is read.
	merged := p.signer.sign(t, with(payment(), "reqReserved", "x&res=1"))
	split := with(with(merged, "reqReserved", "x"), "res", "1")
	if pairs(merged) != pairs(split) {
		t.Fatal("the two messages have different texts")
	}
	refused(t, c, "a value with what could be a field", channeltest.Form(merged), channel.ErrMalformed)
	if _, err := c.ReadNotice(nil, channeltest.Form(split), noon); err != nil {
		t.Errorf("the same in two fields: %v", err)
	}
	refused(t, c, "a bracket that respMsg ends", p.notice(t, with(payment(), "reqReserved", "[a=1")), channel.ErrMalformed)
}

func TestOtherVersionsAndMethodsOfSigningAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, content := range map[string]map[string]string{
		"5.0.0":      with(payment(), "version", "5.0.0"),
		"no version": with(payment(), "version", ""),
		"a digest":   with(payment(), "signMethod", "11"),
		"SM3":        with(payment(), "signMethod", "12"),
		"no method":  with(payment(), "signMethod", ""),
	} {
		refused(t, c, name, p.notice(t, content), channel.ErrNotGenuine)
	}
	single := payment()
	single["signPubKeyCert"] = p.signer.text()
	for name, signature := range map[string]string{
		"none": "", "not base64": strings.Repeat("*", 344), "short": "AAAA", "of another text": p.signer.signText(t, "x"),
		"with a newline": p.signer.signText(t, pairs(single))[:343] + "\n", "of the merchant": p.merchant.signText(t, pairs(single)),
	} {
		refused(t, c, "signature "+name, channeltest.Form(with(single, "signature", signature)), channel.ErrNotGenuine)
	}
}

func TestMessagesThatCannotBeReadAreMalformed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	good := string(p.notice(t, payment()))
	for name, body := range map[string]string{
		"empty": "", "no field": "x", "JSON": `{"merId":"1"}`, "an & more": good + "&", "two &": strings.Replace(good, "&", "&&", 1),
		"a field twice":           good + "&accNo=1",
		"the same field twice":    good + "&txnType=01",
		"a bad escape":            strings.Replace(good, "%0D", "%0G", 1),
		"half an escape":          good + "%2",
		"no name":                 good + "&=1",
		"a name with an escape":   good + "&%61=1",
		"a name with a space":     good + "&a+b=1",
		"a name too long":         good + "&" + strings.Repeat("a", 65) + "=1",
		"a semicolon in a name":   good + "&a;b=1",
		"longer than any message": good + "&a=" + strings.Repeat("a", unionpay.NoticeBytesMax),
	} {
		refused(t, c, name, []byte(body), channel.ErrMalformed)
	}
}

func TestNoticesWithAnythingOddAreMalformed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	both := []struct{ name, value string }{
		{"merId", ""}, {"merId", "7772900581100 48"}, {"merId", strings.Repeat("1", 65)},
		{"orderId", ""}, {"orderId", "rc-1"}, {"orderId", "rc_1"}, {"orderId", "rc%31"}, {"orderId", "４２"},
		{"txnTime", ""}, {"txnTime", "2026030219593"}, {"txnTime", "202603021959300"}, {"txnTime", "20260302195930.5"},
		{"txnTime", "20260230195930"}, {"txnTime", "20260302245930"}, {"txnTime", "19991231235959"}, {"txnTime", "21000101000000"},
		{"txnTime", "+2026030219593"},
		{"txnAmt", ""}, {"txnAmt", "0"}, {"txnAmt", "-1"}, {"txnAmt", "+1"}, {"txnAmt", "100.00"}, {"txnAmt", "1e4"}, {"txnAmt", "1_000"},
		{"txnAmt", " 1"}, {"txnAmt", "１"}, {"txnAmt", "10000000000001"}, {"txnAmt", "18446744073709551617"}, {"txnAmt", "0x10"},
		{"currencyCode", "840"}, {"currencyCode", "CNY"}, {"currencyCode", "0156"},
		{"txnType", ""}, {"txnType", "0 1"}, {"respCode", ""}, {"respCode", "0\n0"},
	}
	for _, odd := range append(both, []struct{ name, value string }{{"queryId", ""}, {"queryId", "4200\n"}, {"currencyCode", ""}}...) {
		refused(t, c, "payment with "+odd.name+" "+strconv.Quote(odd.value), p.notice(t, with(payment(), odd.name, odd.value)),
			channel.ErrMalformed)
	}
	for _, odd := range append(both, struct{ name, value string }{"origQryId", "x y"}) {
		refused(t, c, "refund with "+odd.name+" "+strconv.Quote(odd.value), p.notice(t, with(refunded("00"), odd.name, odd.value)),
			channel.ErrMalformed)
	}
	padded := p.notice(t, with(payment(), "txnAmt", "00010000"))
	if got, err := c.ReadNotice(nil, padded, noon); err != nil || got.Amount != money.FromFen(100_00) {
		t.Errorf("leading zeros: %+v, %v", got, err)
	}
}

func TestNoticesOfOtherMerchantsAreNotOurs(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, content := range map[string]map[string]string{"payment": payment(), "refund": refunded("00"),
		"other": with(payment(), "txnType", "79")} {
		refused(t, c, name, p.notice(t, with(content, "merId", "777290058110049")), channel.ErrNotOurs)
	}
}

func TestRepliesToProblemsNeverReadAsSuccess(t *testing.T) {
	t.Parallel()
	c := thePlatform().load(t, nil)
	for problem, want := range map[error]int{channel.ErrNotGenuine: 401, channel.ErrProbe: 401, channel.ErrStale: 401,
		channel.ErrMalformed: 400, channel.ErrNotOurs: 403, errors.New("database: password is hunter2"): 503} {
		reply := c.Reply(problem, noon)
		if reply.Status != want || string(reply.Body) == "ok" || strings.Contains(string(reply.Body), "hunter2") {
			t.Errorf("%v: %d %s", problem, reply.Status, reply.Body)
		}
	}
	if got := c.Reply(nil, noon); got.Status != 200 || string(got.Body) != "ok" || got.ContentType == "" {
		t.Errorf("without a problem: %+v", got)
	}
}

// refused checks that a notice is refused with the error, and that nothing is read.
func refused(t *testing.T, c *unionpay.Channel, what string, body []byte, want error) {
	t.Helper()
	got, err := c.ReadNotice(nil, body, noon)
	if !errors.Is(err, want) || got != (channel.Notice{}) || channeltest.Shows(err.Error(), secrets()) {
		t.Errorf("%s: %+v, %v; want %v", what, got, err, want)
	}
}
