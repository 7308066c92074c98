package unionpay_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func order() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "rf0123456789abcdef0123456789abcd", RefundID: "r1", OrderID: "o1", UserID: "ada",
		Channel: tasks.SourceUnionPay, ChannelTxnID: "952603011959303028398", Captured: money.FromFen(100_00), Amount: money.FromFen(30_00),
		OccurredAt: paidAt.Add(999 * time.Millisecond)}
}

// accepted is an answer to the order's refund.
func accepted(code string) map[string]string {
	return map[string]string{"accessType": "0", "bizType": "000201", "encoding": "UTF-8", "merId": merID, "orderId": order().Number,
		"origQryId": order().ChannelTxnID, "queryId": "052603021959303028400", "respCode": code, "respMsg": "words[" + code + "]",
		"signMethod": "01", "txnAmt": "3000", "txnSubType": "00", "txnTime": "20260302195930", "txnType": "04", "version": "5.1.0"}
}

// queried is an answer to a query of the order's refund.
func queried(code string) map[string]string {
	content := accepted("00")
	delete(content, "origQryId")
	maps.Copy(content, map[string]string{"origRespCode": code, "origRespMsg": "words{" + code + "&x=1}", "settleAmt": "3000"})
	return content
}

// answerText is a message as it comes as an answer: with nothing encoded.
func answerText(signed map[string]string) string {
	return pairs(signed) + "&signature=" + signed["signature"]
}

// gateway is a UnionPay of which the test scripts the answer, and remembers the request.
type gateway struct {
	status int // of HTTP; 200 when it is not given
	body   string
	path   string
	asked  url.Values
}

func (g *gateway) serve(t *testing.T) *unionpay.Channel {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if g.asked, err = url.ParseQuery(string(body)); err != nil {
			t.Error(err)
		}
		g.path = r.Method + " " + r.RequestURI + " " + r.Header.Get("Content-Type")
		if g.status != 0 {
			w.WriteHeader(g.status)
		}
		_, _ = io.WriteString(w, g.body) // a client that has read enough breaks the connection
	}))
	t.Cleanup(server.Close)
	c := thePlatform().load(t, map[string]any{"back_trans_url": server.URL + "/back.do", "query_trans_url": server.URL + "/query.do"})
	return c.WithClock(clock.Fixed(noon))
}

func TestCodeOfARefundBecomesItsAnswer(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for code, want := range map[string]channel.RefundAnswer{
		"00": {State: channel.RefundSucceeded},
		"A6": {State: channel.RefundSucceeded},
		"03": {State: channel.RefundProcessing},
		"04": {State: channel.RefundProcessing},
		"05": {State: channel.RefundProcessing},
		"33": {State: channel.RefundFailed, Reason: "33 amount is beyond a limit"},
		"63": {State: channel.RefundFailed, Reason: "63 state of the card forbids it"},
		"73": {State: channel.RefundFailed, Reason: "73 card has expired"},
	} {
		g := &gateway{body: answerText(p.signer.sign(t, queried(code)))}
		answer, err := g.serve(t).Query(t.Context(), order())
		if diff := cmp.Diff(want, answer); diff != "" || err != nil {
			t.Errorf("query, %s: %v (-want +got):\n%s", code, err, diff)
		}
		told, err := p.load(t, nil).ReadNotice(nil, p.notice(t, refunded(code)), noon)
		if err != nil || told.Refund != answer { // C4
			t.Errorf("a notice of %s says %+v, %v, and a query %+v", code, told.Refund, err, answer)
		}
	}
}

func TestAcceptedRefundIsProcessing(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"00", "A6", "03", "04", "05"} {
		g := &gateway{body: answerText(thePlatform().signer.sign(t, accepted(code)))}
		answer, err := g.serve(t).Refund(t.Context(), order())
		if want := (channel.RefundAnswer{State: channel.RefundProcessing}); answer != want || err != nil {
			t.Errorf("%s: %+v, %v", code, answer, err)
		}
	}
}

func TestRequestsAreSignedByTheMerchant(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	common := map[string]string{"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": "68759663125", "accessType": "0",
		"merId": merID, "orderId": "rf0123456789abcdef0123456789abcd", "txnTime": "20260302195930", "txnSubType": "00"}
	for name, want := range map[string]map[string]string{
		"POST /back.do": {"txnType": "04", "bizType": "000201", "channelType": "07", "origQryId": "952603011959303028398", "txnAmt": "3000",
			"backUrl": "https://shop.invalid/v1/notices/unionpay"},
		"POST /query.do": {"txnType": "00", "bizType": "000000"},
	} {
		maps.Copy(want, common)
		g := &gateway{body: answerText(p.signer.sign(t, accepted("00")))}
		c := g.serve(t)
		call := c.Query
		if name == "POST /back.do" {
			call = c.Refund
		}
		for range 2 { // the second time it says the same (U4)
			_, _ = call(t.Context(), order()) // what was answered is not the question here
			got := map[string]string{}
			for field, values := range g.asked {
				if len(values) != 1 || values[0] == "" {
					t.Errorf("%s: %s is %q", name, field, values)
				}
				got[field] = values[0]
			}
			signature, err := base64.StdEncoding.DecodeString(got["signature"])
			if err != nil {
				t.Fatal(err)
			}
			outer := sha256.Sum256(fmt.Appendf(nil, "%x", sha256.Sum256([]byte(pairs(got)))))
			if err := rsa.VerifyPKCS1v15(&p.merchant.key.PublicKey, crypto.SHA256, outer[:], signature); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			delete(got, "signature")
			if diff := cmp.Diff(want, got); diff != "" || g.path != name+" application/x-www-form-urlencoded;charset=UTF-8" {
				t.Errorf("%s (-want +got):\n%s", g.path, diff)
			}
		}
	}
}

// Money moves on these answers alone; whatever might be another's, or nobody's, is unknown.
func TestAnswersThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	say := func(name, value string) func(map[string]string) map[string]string {
		return func(m map[string]string) map[string]string { return with(m, name, value) }
	}
	expired := signing(signerName, 9)
	expired.NotAfter = noon.Add(-time.Second)
	signers := map[string]issued{"an expired certificate": issue(p.signer.key, expired, &p.middle),
		"a certificate of its own": issue(p.signer.key, signing(signerName, 9), nil), "the merchant": p.merchant}
	bodies := map[string]func(map[string]string) string{
		"unsigned":     func(m map[string]string) string { return pairs(m) },
		"empty":        func(map[string]string) string { return "" },
		"a page":       func(map[string]string) string { return "<html>" },
		"encoded":      func(m map[string]string) string { return string(channeltest.Form(p.signer.sign(t, m))) },
		"a field more": func(m map[string]string) string { return answerText(p.signer.sign(t, m)) + "&x=1" },
		"a field twice": func(m map[string]string) string {
			return "txnType=04&" + answerText(p.signer.sign(t, m))
		},
		"with a newline": func(m map[string]string) string { return answerText(p.signer.sign(t, m)) + "\n" },
		"too large": func(m map[string]string) string {
			return answerText(p.signer.sign(t, with(m, "accNo", strings.Repeat("1", 1<<20))))
		},
		"an open brace": func(m map[string]string) string { return answerText(p.signer.sign(t, with(m, "accNo", "{"))) },
		"with LF": func(m map[string]string) string {
			return strings.ReplaceAll(answerText(p.signer.sign(t, m)), "\r\n", "\n")
		},
	}
	for name, signer := range signers {
		bodies["signed by "+name] = func(m map[string]string) string { return answerText(signer.sign(t, m)) }
	}
	for name, change := range map[string]func(map[string]string) map[string]string{
		"another refund's": say("orderId", "rf0123456789abcdef0123456789abce"), "of no refund": say("orderId", ""),
		"of another time": say("txnTime", "20260302195931"), "of no time": say("txnTime", ""),
		"another merchant's": say("merId", "777290058110049"),
		"another payment's":  say("origQryId", "952603011959303028399"), "of another amount": say("txnAmt", "2999"),
		"of no amount": say("txnAmt", ""), "of a broken amount": say("txnAmt", "3000.0"), "of a payment": say("txnType", "01"),
		"of no type": say("txnType", ""), "of no code": say("respCode", ""), "of 5.0.0": say("version", "5.0.0"),
		"of an empty field": func(m map[string]string) map[string]string { return mapWith(maps.Clone(m), "respCode", "") },
	} {
		bodies[name] = func(m map[string]string) string { return answerText(p.signer.sign(t, change(m))) }
	}
	for name, word := range bodies {
		checkUncertain(t, "an answer "+name, gateway{body: word(accepted("00"))}, gateway{body: word(queried("00"))})
	}
	for _, code := range []string{"01", "02", "06", "10", "11", "12", "33", "35", "36", "45", "60", "63", "99", "Z1"} {
		refusing := gateway{body: answerText(p.signer.sign(t, with(queried("00"), "respCode", code)))}
		checkUncertain(t, "a refusal "+code, refusing, refusing)
	}
	for _, code := range []string{"01", "02", "06", "10", "12", "34", "60", "64", "99", "Z1", "a6", ""} {
		body := answerText(p.signer.sign(t, with(queried("00"), "origRespCode", code)))
		checkUncertain(t, "a code "+code, gateway{status: 500, body: body}, gateway{body: body})
	}
	for _, status := range []int{201, 204, 302, 400, 404, 500, 502} {
		checkUncertain(t, fmt.Sprint("a status ", status), gateway{status: status}, gateway{status: status})
	}
}

// checkUncertain checks that neither a refund nor a query ends by an answer.
func checkUncertain(t *testing.T, what string, toRefund, toQuery gateway) {
	t.Helper()
	refund, query := toRefund.serve(t), toQuery.serve(t)
	for name, call := range map[string]func(context.Context, tasks.RefundOrder) (channel.RefundAnswer, error){
		"refund": refund.Refund, "query": query.Query} {
		answer, err := call(t.Context(), order())
		channeltest.CheckUnknown(t, name+" of "+what, answer, err, secrets())
	}
}

func TestRefusalsShowTheirCodeAndAreCutShort(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	long := with(accepted("12"), "respMsg", "重复\n交易"+strings.Repeat("!", 1000)+"\xff")
	for name, body := range map[string]string{"signed": answerText(p.signer.sign(t, long)), "unsigned": pairs(long)} {
		g := &gateway{body: body}
		_, err := g.serve(t).Refund(t.Context(), order())
		var refusal *unionpay.AnswerError
		if !errors.As(err, &refusal) || refusal.Status != 200 || refusal.Code != "12" || !strings.HasPrefix(refusal.Message, "重复 交易!") ||
			len(refusal.Message) > 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := &gateway{status: 502, body: "<html>secret</html>"}
	_, err := g.serve(t).Refund(t.Context(), order())
	var refusal *unionpay.AnswerError
	if !errors.As(err, &refusal) || *refusal != (unionpay.AnswerError{Status: 502}) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestNumberThatUnionPayHasNeverSeenIsUnknown(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	bare := with(with(with(queried("00"), "respCode", "34"), "origRespCode", ""), "txnAmt", "")
	for name, content := range map[string]map[string]string{"with the number": bare, "without it": with(bare, "orderId", "")} {
		g := &gateway{body: answerText(p.signer.sign(t, content))}
		if answer, err := g.serve(t).Query(t.Context(), order()); !errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("query %s: %+v, %v", name, answer, err)
		}
		if answer, err := g.serve(t).Refund(t.Context(), order()); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("refund %s: %+v, %v", name, answer, err)
		}
	}
	for name, body := range map[string]string{"of another number": answerText(p.signer.sign(t, with(bare, "orderId", "rf01234567"))),
		"unsigned": pairs(bare)} {
		g := &gateway{body: body}
		if answer, err := g.serve(t).Query(t.Context(), order()); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
}

func TestRefundWithoutItsPaymentIsNotAskedFor(t *testing.T) {
	t.Parallel()
	g := &gateway{body: answerText(thePlatform().signer.sign(t, accepted("00")))}
	nameless := order()
	nameless.ChannelTxnID = ""
	_, err := g.serve(t).Refund(t.Context(), nameless)
	var bad *tasks.FieldError
	if !errors.As(err, &bad) || bad.Field != "channel_txn_id" || g.asked != nil {
		t.Errorf("%v, asked %v", err, g.asked)
	}
}

func TestBrokenConnectionsAreUnknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	c := thePlatform().load(t, map[string]any{"back_trans_url": server.URL, "query_trans_url": server.URL})
	answer, err := c.Refund(t.Context(), order())
	channeltest.CheckUnknown(t, "refund", answer, err, secrets())
	answer, err = c.Query(t.Context(), order())
	channeltest.CheckUnknown(t, "query", answer, err, secrets())
}

// The time is Shanghai's whatever the zone in which the order was stored, and its fractions are cut, never rounded.
func TestRefundKeepsItsTimeInEveryZone(t *testing.T) {
	t.Parallel()
	for _, zone := range []*time.Location{time.UTC, clock.Shanghai, time.FixedZone("", -11*3600)} {
		g := &gateway{}
		c := g.serve(t)
		moved := order()
		moved.OccurredAt = moved.OccurredAt.In(zone)
		for _, call := range []func(context.Context, tasks.RefundOrder) (channel.RefundAnswer, error){c.Refund, c.Query} {
			_, _ = call(t.Context(), moved) // the answer is empty
			if got := g.asked.Get("txnTime"); got != "20260302195930" {
				t.Errorf("in %v: %s", zone, got)
			}
		}
	}
}

func TestOnlySignedRefusalsOfTheRefundAreRefusals(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	coded := func(code string) string { return answerText(p.signer.sign(t, accepted(code))) }
	for name, c := range map[string]struct {
		gateway gateway
		code    string
		want    bool
	}{
		"the number again":   {gateway{body: coded("12")}, "12", true},
		"refunded before":    {gateway{body: coded("45")}, "45", true},
		"merchant's state":   {gateway{body: coded("31")}, "31", true},
		"no right":           {gateway{body: coded("32")}, "32", true},
		"no right to it":     {gateway{body: coded("43")}, "43", true},
		"a general error":    {gateway{body: coded("99")}, "99", true},
		"refused, unsigned":  {gateway{body: pairs(accepted("36"))}, "36", false},
		"refused, of 500":    {gateway{body: coded("36"), status: 500}, "36", false},
		"closed":             {gateway{body: coded("02")}, "02", false},
		"busy":               {gateway{body: coded("06")}, "06", false},
		"our signature":      {gateway{body: coded("11")}, "11", false},
		"too many questions": {gateway{body: coded("37")}, "37", false},
	} {
		port := c.gateway.serve(t)
		_, refundErr := port.Refund(t.Context(), order())
		_, queryErr := port.Query(t.Context(), order())
		for call, err := range map[string]error{"refund": refundErr, "query": queryErr} {
			if errors.Is(err, channel.ErrRefused) != c.want || err == nil || c.want && !strings.Contains(err.Error(), "200 "+c.code) {
				t.Errorf("%s, %s: %v; want refused %t", name, call, err, c.want)
			}
			if merchants := slices.Contains([]string{"31", "32", "43"}, c.code); errors.Is(err, channel.ErrMerchantRefused) != merchants {
				t.Errorf("%s, %s: %v; want a refusal of the merchant %t", name, call, err, merchants)
			}
		}
	}
	for _, code := range []string{"01", "02", "06", "60", "99"} { // how the refund ended, which is not certain: the query itself was answered
		g := gateway{body: answerText(p.signer.sign(t, queried(code)))}
		if _, err := g.serve(t).Query(t.Context(), order()); !errors.Is(err, channel.ErrRefused) {
			t.Errorf("a refund that ended with %s: %v; want refused", code, err)
		}
	}
	nameless := order()
	nameless.ChannelTxnID = ""
	if _, err := (&gateway{}).serve(t).Refund(t.Context(), nameless); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("a refund that cannot be asked for: %v; want refused", err)
	}
}
