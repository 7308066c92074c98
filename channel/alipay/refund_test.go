package alipay_test

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func order() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "rf_0123-4", RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceAlipay,
		ChannelTxnID: "2026030222001435011433387454", Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: noon}
}

// gateway is an Alipay of which the test scripts the answers, and remembers the last request.
type gateway struct {
	status  int                      // 0: 200
	body    func(node string) string // of the answer, given the name of the method's node
	request *http.Request
	asked   url.Values
}

func (g *gateway) serve(t *testing.T, changes map[string]any) *alipay.Channel {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		g.request = r
		if g.asked, err = url.ParseQuery(string(body)); err != nil {
			t.Error(err)
		}
		if g.status != 0 {
			w.WriteHeader(g.status)
		}
		// The client closes the connection on an answer that is too large.
		_, _ = io.WriteString(w, g.body(strings.ReplaceAll(g.asked.Get("method"), ".", "_")+"_response"))
	}))
	t.Cleanup(server.Close)
	settings := map[string]any{"gateway_url": server.URL + "/gateway.do"}
	for name, value := range changes {
		settings[name] = value
	}
	return thePlatform().load(t, settings).WithClock(clock.Fixed(noon))
}

// signedBy answers with a text for the node, signed by the key.
func signedBy(t *testing.T, key *rsa.PrivateKey, text string) func(string) string {
	t.Helper()
	signature := signature(t, key, text)
	return func(node string) string { return `{"` + node + `":` + text + `,"sign":"` + signature + `"}` }
}

// node is the text of an answer: the fields, changed by changes in turn. The value - removes.
func node(t *testing.T, fields map[string]string, changes ...string) string {
	t.Helper()
	text, err := json.Marshal(with(fields, changes...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// done answers a refund, and queried a query, that the order was paid back.
var (
	done = map[string]string{"code": "10000", "msg": "Success", "buyer_logon_id": "180***@189.cn", "buyer_user_id": "2088902112235014",
		"fund_change": "Y", "gmt_refund_pay": "2026-03-02 19:59:45", "out_trade_no": "o1", "refund_fee": "75.00", "send_back_fee": "0.00",
		"trade_no": "2026030222001435011433387454"}
	queried = map[string]string{"code": "10000", "msg": "Success", "out_request_no": "rf_0123-4", "out_trade_no": "o1",
		"refund_amount": "30.00", "refund_status": "REFUND_SUCCESS", "total_amount": "100.00", "trade_no": "2026030222001435011433387454"}
)

func refusal(code, subCode string) map[string]string {
	return map[string]string{"code": code, "msg": "Business Failed", "sub_code": subCode, "sub_msg": "原因"}
}

// calls are both ways to ask about the order.
func calls(t *testing.T, c *alipay.Channel, order tasks.RefundOrder) map[string]func() (channel.RefundAnswer, error) {
	t.Helper()
	return map[string]func() (channel.RefundAnswer, error){
		"refund": func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order) },
		"query":  func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order) },
	}
}

func TestAnswersToRefundsAndQueries(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	byOrder := order()
	byOrder.ChannelTxnID = ""
	succeeded, processing := channel.RefundAnswer{State: channel.RefundSucceeded}, channel.RefundAnswer{State: channel.RefundProcessing}
	for name, c := range map[string]struct {
		call  string
		order tasks.RefundOrder
		node  string
		want  channel.RefundAnswer
		err   error
	}{
		"money has moved":            {"refund", order(), node(t, done), succeeded, nil},
		"it was this refund alone":   {"refund", order(), node(t, done, "refund_fee", "30.00"), succeeded, nil},
		"of a payment by our number": {"refund", byOrder, node(t, done, "trade_no", "-"), succeeded, nil},
		"no money has moved now":     {"refund", order(), node(t, done, "fund_change", "N"), processing, nil},
		"nothing is said of money":   {"refund", order(), node(t, done, "fund_change", "-"), processing, nil},
		"10000 alone":                {"refund", order(), `{"code":"10000","msg":"Success"}`, processing, nil},
		"the time is over": {"refund", order(), node(t, refusal("40004", "ACQ.TRADE_HAS_FINISHED")),
			channel.RefundAnswer{State: channel.RefundFailed, Reason: "ACQ.TRADE_HAS_FINISHED"}, nil},
		"found":                   {"query", order(), node(t, queried), succeeded, nil},
		"found by our number":     {"query", byOrder, node(t, queried, "trade_no", "-"), succeeded, nil},
		"not found":               {"query", order(), `{"code":"10000","msg":"Success"}`, channel.RefundAnswer{}, channel.ErrUnknownNumber},
		"not done":                {"query", order(), node(t, queried, "refund_status", "-"), channel.RefundAnswer{}, channel.ErrUnknownNumber},
		"not even the payment is": {"query", order(), node(t, refusal("40004", "ACQ.TRADE_NOT_EXIST")), channel.RefundAnswer{}, channel.ErrUnknownNumber},
	} {
		for _, key := range []*rsa.PrivateKey{p.older, p.newer, p.certified} {
			g := &gateway{body: signedBy(t, key, c.node)}
			got, err := calls(t, g.serve(t, nil), c.order)[c.call]()
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, c.want, c.err)
			}
		}
	}
}

// Money moves on certain answers alone; whatever might be another's, or nobody's, is unknown.
func TestAnswersThatNobodyHasSignedAreErrors(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	raw := func(format string) *gateway {
		return &gateway{body: func(name string) string {
			text := node(t, queried)
			if name == "alipay_trade_refund_response" {
				text = node(t, done)
			}
			return strings.NewReplacer("NAME", name, "NODE", text, "SIGN", signature(t, p.newer, text)).Replace(format)
		}}
	}
	const whole = `{"NAME":NODE,"sign":"SIGN"}`
	status := func(code int, g *gateway) *gateway { g.status = code; return g }
	stranger := func(fields map[string]string) *gateway {
		return &gateway{body: signedBy(t, p.stranger, node(t, fields))}
	}
	for name, g := range map[string]*gateway{
		"unsigned":                         raw(`{"NAME":NODE}`),
		"with an empty signature":          raw(`{"NAME":NODE,"sign":""}`),
		"with a signature that is null":    raw(`{"NAME":NODE,"sign":null}`),
		"with a signature that is no text": raw(`{"NAME":NODE,"sign":["SIGN"]}`),
		"with a space in the node":         raw(`{"NAME":{ },"sign":"SIGN"}`),
		"with the node twice":              raw(`{"NAME":NODE,"NAME":NODE,"sign":"SIGN"}`),
		"with more after it":               raw(whole + "{}"),
		"cut off":                          raw(whole[:len(whole)-1]),
		"in a list":                        raw("[" + whole + "]"),
		"of another method":                raw(`{"alipay_trade_query_response":NODE,"sign":"SIGN"}`),
		"of no method":                     raw(`{"error_response":NODE,"sign":"SIGN"}`),
		"by a certificate that it is not":  raw(`{"NAME":NODE,"sign":"SIGN","alipay_cert_sn":"` + certificateSN + `"}`),
		"by an unknown certificate":        raw(`{"NAME":NODE,"sign":"SIGN","alipay_cert_sn":"` + serialOf("1") + `"}`),
		"of the status 202":                status(202, raw(whole)),
		"of the status 302":                status(302, raw(whole)),
		"of the status 500":                status(500, raw(whole)),
		"too large":                        raw(whole + strings.Repeat(" ", 2<<20)),
		"not JSON":                         raw("<html>"),
		"empty":                            raw(""),
		"a stranger's refund":              stranger(done), "a stranger's query": stranger(queried),
		"a stranger's not found": stranger(map[string]string{"code": "10000", "msg": "Success"}),
		"a stranger's end":       stranger(refusal("40004", "ACQ.TRADE_HAS_FINISHED")),
		"a stranger's no trade":  stranger(refusal("40004", "ACQ.TRADE_NOT_EXIST")),
	} {
		for what, call := range calls(t, g.serve(t, nil), order()) {
			unknown(t, what+" of an answer "+name, call)
		}
	}
}

// unknown expects an error, and no answer that would lead to anything else than another query.
func unknown(t *testing.T, what string, call func() (channel.RefundAnswer, error)) {
	t.Helper()
	answer, err := call()
	channeltest.CheckUnknown(t, what, answer, err, secrets())
}

func TestAnswersThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for name, c := range map[string]struct{ calls, node string }{
		"another payment's refund":      {"refund", node(t, done, "trade_no", "42")},
		"no payment's refund":           {"refund", node(t, done, "trade_no", "-")},
		"a refund of less":              {"refund", node(t, done, "refund_fee", "29.99")},
		"a refund of an unknown amount": {"refund", node(t, done, "refund_fee", "-")},
		"a refund of a broken amount":   {"refund", node(t, done, "refund_fee", "75.0")},
		"a change that nobody knows":    {"refund", node(t, done, "fund_change", "y")},
		"a change that is no text":      {"refund", `{"code":"10000","fund_change":true}`},
		"a change told twice":           {"refund", `{"code":"10000","fund_change":"N","fund_change":"Y"}`},
		"another refund's state":        {"query", node(t, queried, "out_request_no", "rf2")},
		"no refund's state":             {"query", node(t, queried, "out_request_no", "-")},
		"another payment's state":       {"query", node(t, queried, "trade_no", "42")},
		"of another amount":             {"query", node(t, queried, "refund_amount", "30.01")},
		"of an amount as a number":      {"query", strings.Replace(node(t, queried), `"30.00"`, `30.00`, 1)},
		"of a state to come":            {"query", node(t, queried, "refund_status", "REFUND_PROCESSING")},
		"of a state that is no text":    {"query", `{"code":"10000","refund_status":null}`},
		"a code that is a number":       {"both", `{"code":10000}`},
		"no code":                       {"both", `{"fund_change":"Y","refund_status":"REFUND_SUCCESS"}`},
		"the payment is unknown":        {"refund", node(t, refusal("40004", "ACQ.TRADE_NOT_EXIST"))},
		"the time is over, to a query":  {"query", node(t, refusal("40004", "ACQ.TRADE_HAS_FINISHED"))},
		"system error":                  {"both", node(t, refusal("40004", "ACQ.SYSTEM_ERROR"))},
		"no money":                      {"both", node(t, refusal("40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH"))},
		"too much":                      {"both", node(t, refusal("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"))},
		"frozen":                        {"both", node(t, refusal("40004", "ACQ.REASON_TRADE_BEEN_FREEZEN"))},
		"closed":                        {"both", node(t, refusal("40004", "ACQ.TRADE_HAS_CLOSE"))},
		"another amount before":         {"both", node(t, refusal("40004", "ACQ.DISCORDANT_REPEAT_REQUEST"))},
		"not allowed":                   {"both", node(t, refusal("40004", "ACQ.TRADE_NOT_ALLOW_REFUND"))},
		"busy":                          {"both", node(t, refusal("20000", "aop.ACQ.SYSTEM_ERROR"))},
	} {
		g := &gateway{body: signedBy(t, p.newer, c.node)}
		for what, call := range calls(t, g.serve(t, nil), order()) {
			if c.calls == "both" || c.calls == what {
				unknown(t, what+" of an answer "+name, call)
			}
		}
	}
}

// Real answers escape slashes, and gateways have been seen to put spaces: what is signed is the text between the colon and the comma.
func TestSignatureOfAnAnswerIsOverItsOwnText(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	text := `{ "code" : "10000",` + "\n\t" + `"fund_change":"Y","refund_fee":"30.00","trade_no":"2026030222001435011433387454",` +
		`"x":"a\/b \u003c<>& 充","y":{"z":[1,2,{ }]}, "refund_detail_item_list":[{"amount":"1.00"}]}`
	for name, certified := range map[string]bool{"bare": false, "with a certificate": true} {
		g := &gateway{body: func(node string) string {
			if certified {
				return ` { "alipay_cert_sn" : "` + certificateSN + `", "sign":"` + signature(t, p.certified, text) + `" ,"` + node + `"  :  ` + text + ` } `
			}
			return `{"` + node + `":` + text + `,"sign":"` + strings.ReplaceAll(signature(t, p.older, text), "/", `\/`) + `"}`
		}}
		answer, err := g.serve(t, nil).Refund(t.Context(), order())
		if err != nil || answer.State != channel.RefundSucceeded {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
}

func TestNoOtherByteOfAnAnswerIsTaken(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	text := node(t, done)
	good := signedBy(t, p.newer, text)("alipay_trade_refund_response")
	var i int
	g := &gateway{body: func(string) string {
		other := []byte(good)
		other[i] ^= 1 << (i % 8)
		return string(other)
	}}
	c := g.serve(t, nil)
	for ; i < len(good); i++ {
		if answer, err := c.Refund(t.Context(), order()); err == nil {
			t.Errorf("byte %d: %+v", i, answer)
		}
	}
}

func TestRequestsAreSignedByTheApp(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	byOrder := order()
	byOrder.ChannelTxnID = ""
	rootSN := serialOf("7") + "_" + serialOf("81985529216486895")
	for name, c := range map[string]struct {
		call    string
		order   tasks.RefundOrder
		changes map[string]any
		want    map[string]string
	}{
		"refund": {"refund", order(), nil, map[string]string{"method": "alipay.trade.refund",
			"biz_content":         `{"trade_no":"2026030222001435011433387454","refund_amount":"30.00","out_request_no":"rf_0123-4"}`,
			"app_cert_sn":         serialOf("4660"),
			"alipay_root_cert_sn": rootSN}},
		"refund by our number": {"refund", byOrder, map[string]any{"alipay_certificates": nil, "app_certificate": nil, "alipay_root_certificate": nil},
			map[string]string{"method": "alipay.trade.refund", "biz_content": `{"out_trade_no":"o1","refund_amount":"30.00","out_request_no":"rf_0123-4"}`}},
		"query": {"query", order(), map[string]any{"alipay_certificates": nil, "app_certificate": nil, "alipay_root_certificate": nil},
			map[string]string{"method": "alipay.trade.fastpay.refund.query",
				"biz_content": `{"trade_no":"2026030222001435011433387454","out_request_no":"rf_0123-4"}`}},
	} {
		g := &gateway{body: signedBy(t, p.newer, `{"code":"10000"}`)}
		if _, err := calls(t, g.serve(t, c.changes), c.order)[c.call](); err != nil && !errors.Is(err, channel.ErrUnknownNumber) {
			t.Fatal(err)
		}
		c.want["app_id"], c.want["format"], c.want["charset"], c.want["version"] = appID, "JSON", "utf-8", "1.0"
		c.want["sign_type"], c.want["timestamp"] = "RSA2", "2026-03-02 20:00:00"
		text := signedText(with(c.want, "sign_type", "-"))
		text = strings.Replace(text, "&timestamp=", "&sign_type=RSA2&timestamp=", 1) // a request's sign_type is signed
		c.want["sign"] = signature(t, p.app, text)
		got := map[string]string{}
		for field, values := range g.asked {
			got[field] = strings.Join(values, " and ")
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if g.request.Method != "POST" || g.request.RequestURI != "/gateway.do" ||
			g.request.Header.Get("Content-Type") != "application/x-www-form-urlencoded;charset=utf-8" {
			t.Errorf("%s: %s %s %v", name, g.request.Method, g.request.RequestURI, g.request.Header)
		}
	}
}

func TestRefusalsShowTheirCodeAndAreCutShort(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	g := &gateway{body: signedBy(t, p.newer, `{"code":"40004","msg":"Business Failed","sub_code":"ACQ.SELLER_BALANCE_NOT_ENOUGH","sub_msg":"余额\n不足`+
		strings.Repeat("!", 1000)+`"}`)}
	_, err := g.serve(t, nil).Refund(t.Context(), order())
	var bad *alipay.AnswerError
	if !errors.As(err, &bad) || bad.Status != 200 || bad.Code != "40004" || bad.SubCode != "ACQ.SELLER_BALANCE_NOT_ENOUGH" ||
		!strings.HasPrefix(bad.Message, "余额 不足!") || len(bad.Message) > 400 {
		t.Errorf("%v", err)
	}
	g = &gateway{body: func(string) string {
		return `{"error_response":{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-app-id"}}`
	}}
	_, err = g.serve(t, nil).Query(t.Context(), order())
	if want := (alipay.AnswerError{Status: 200, Code: "40002", SubCode: "isv.invalid-app-id", Message: "Invalid Arguments"}); !errors.As(err, &bad) || *bad != want {
		t.Errorf("%v", err)
	}
	g = &gateway{status: 502, body: func(string) string { return "<html>secret</html>" }}
	_, err = g.serve(t, nil).Refund(t.Context(), order())
	if !errors.As(err, &bad) || *bad != (alipay.AnswerError{Status: 502}) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestBrokenConnectionsAreUnknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	c := thePlatform().load(t, map[string]any{"gateway_url": server.URL})
	for what, call := range calls(t, c, order()) {
		unknown(t, what, call)
	}
}

// The refund's answer, the query and the notice must become one and the same refund:answer (C4).
func TestEndOfARefundReadsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	refund := &gateway{body: signedBy(t, p.newer, node(t, done))}
	query := &gateway{body: signedBy(t, p.newer, node(t, queried))}
	first, err := refund.serve(t, nil).Refund(t.Context(), order())
	if err != nil {
		t.Fatal(err)
	}
	second, err := query.serve(t, nil).Query(t.Context(), order())
	if err != nil {
		t.Fatal(err)
	}
	notice, err := p.load(t, nil).ReadNotice(nil, sign(t, p.newer, refunded()), noon)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := channel.Result(order(), first)
	for name, answer := range map[string]channel.RefundAnswer{"query": second, "notice": notice.Refund} {
		got, final := channel.Result(order(), answer)
		if diff := cmp.Diff(want, got); diff != "" || !final {
			t.Errorf("%s: final %v (-refund +%s):\n%s", name, final, name, diff)
		}
	}
}

func TestOnlySignedRefusalsOfTheRefundAreRefusals(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	for name, c := range map[string]struct {
		key           *rsa.PrivateKey
		code, subCode string
		status        int
		want          bool
	}{
		"no money":               {p.newer, "40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", 200, true},
		"no contract":            {p.newer, "40004", "ACQ.ACCESS_FORBIDDEN", 200, true},
		"without a sub-code":     {p.newer, "40004", "", 200, true},
		"a parameter":            {p.newer, "40002", "isv.invalid-parameter", 200, true},
		"no money, a stranger's": {p.stranger, "40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", 200, false},
		"no money, of 500":       {p.newer, "40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", 500, false},
		"a system error":         {p.newer, "40004", "ACQ.SYSTEM_ERROR", 200, false},
		"busy":                   {p.newer, "20000", "aop.ACQ.SYSTEM_ERROR", 200, false},
		"our signature":          {p.newer, "40002", "isv.invalid-signature", 200, false},
		"too often":              {p.newer, "40005", "isv.app-call-limited", 200, false},
	} {
		g := &gateway{status: c.status, body: signedBy(t, c.key, node(t, refusal(c.code, c.subCode)))}
		for what, call := range calls(t, g.serve(t, nil), order()) {
			_, err := call()
			if errors.Is(err, channel.ErrRefused) != c.want || err == nil || c.want && !strings.Contains(err.Error(), c.code+" "+c.subCode) {
				t.Errorf("%s, %s: %v; want refused %t", name, what, err, c.want)
			}
			merchants := c.want && slices.Contains([]string{"ACQ.SELLER_BALANCE_NOT_ENOUGH", "ACQ.ACCESS_FORBIDDEN"}, c.subCode)
			if errors.Is(err, channel.ErrMerchantRefused) != merchants {
				t.Errorf("%s, %s: %v; want a refusal of the merchant %t", name, what, err, merchants)
			}
		}
	}
}
