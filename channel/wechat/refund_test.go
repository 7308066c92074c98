package wechat_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func order() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "rf_0123-4", RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceWeChat,
		ChannelTxnID: "4200001234202603021234567890", Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: noon}
}

// gateway is a WeChat Pay of which the test scripts the answer, and remembers the request.
type gateway struct {
	status  int
	body    string
	serial  string            // signs; empty: nobody
	at      time.Time         // of the signature
	change  func(http.Header) // of the answer, after it was signed
	request *http.Request
	asked   string
}

func (g *gateway) serve(t *testing.T) *wechat.Channel {
	t.Helper()
	p := thePlatform()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		g.request, g.asked = r, string(asked)
		if g.serial != "" {
			for name, values := range p.sign(t, []byte(g.body), g.at, g.serial) {
				w.Header()[name] = values
			}
		}
		if g.change != nil {
			g.change(w.Header())
		}
		w.WriteHeader(g.status)
		_, _ = io.WriteString(w, g.body) // who has read enough of it hangs up
	}))
	t.Cleanup(server.Close)
	c := p.load(t, map[string]any{"base_url": server.URL + "/gate", "notify_url": "https://shop.invalid/v1/notices/wechat"})
	return c.WithClock(clock.Fixed(noon))
}

// said is the body of an answer about the order.
func said(t testing.TB, status string, change func(map[string]any)) string {
	t.Helper()
	content := map[string]any{"refund_id": "50000000382019052709732678859", "out_refund_no": "rf_0123-4", "out_trade_no": "o1",
		"transaction_id": "4200001234202603021234567890", "channel": "ORIGINAL", "user_received_account": "招商银行信用卡0403",
		"create_time": "2026-03-02T19:50:00+08:00", "status": status, "funds_account": "UNSETTLED",
		"amount": map[string]any{"total": 10000, "refund": 3000, "payer_total": 10000, "payer_refund": 3000, "settlement_refund": 3000,
			"settlement_total": 10000, "discount_refund": 0, "currency": "CNY"}}
	if status == "SUCCESS" {
		content["success_time"] = "2026-03-02T19:59:30+08:00"
	}
	if change != nil {
		change(content)
	}
	return string(channeltest.Encode(t, content))
}

func TestStatusOfARefundBecomesItsAnswer(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]channel.RefundAnswer{
		"SUCCESS":    {State: channel.RefundSucceeded, EndedAt: paidAt},
		"PROCESSING": {State: channel.RefundProcessing},
		"CLOSED":     {State: channel.RefundFailed, Reason: "CLOSED"},
		"ABNORMAL":   {State: channel.RefundFailed, Reason: "ABNORMAL"},
	} {
		for _, serial := range []string{thePlatform().serial(), publicID} {
			g := &gateway{status: 200, body: said(t, status, nil), serial: serial, at: noon}
			c := g.serve(t)
			answer, err := c.Refund(t.Context(), order())
			if diff := cmp.Diff(want, answer); diff != "" || err != nil {
				t.Errorf("refund, %s: %v (-want +got):\n%s", status, err, diff)
			}
			answer, err = c.Query(t.Context(), order())
			if diff := cmp.Diff(want, answer); diff != "" || err != nil {
				t.Errorf("query, %s: %v (-want +got):\n%s", status, err, diff)
			}
		}
	}
}

var authorizationForm = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="1900000109",nonce_str="([0-9A-Z]{16,32})",timestamp="1772452800",` +
	`serial_no="7777",signature="([A-Za-z0-9+/=]+)"$`)

func TestRequestsAreSignedByTheMerchant(t *testing.T) {
	t.Parallel()
	g := &gateway{status: 200, body: said(t, "PROCESSING", nil), serial: publicID, at: noon}
	c := g.serve(t)
	byOrder := order()
	byOrder.ChannelTxnID = ""
	for _, call := range []struct {
		do           func() (channel.RefundAnswer, error)
		method, body string
	}{
		{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order()) }, "POST /gate/v3/refund/domestic/refunds",
			`{"transaction_id":"4200001234202603021234567890","out_refund_no":"rf_0123-4","notify_url":"https://shop.invalid/v1/notices/wechat",` +
				`"amount":{"refund":3000,"total":10000,"currency":"CNY"}}`},
		{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), byOrder) }, "POST /gate/v3/refund/domestic/refunds",
			`{"out_trade_no":"o1","out_refund_no":"rf_0123-4","notify_url":"https://shop.invalid/v1/notices/wechat",` +
				`"amount":{"refund":3000,"total":10000,"currency":"CNY"}}`},
		{func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order()) }, "GET /gate/v3/refund/domestic/refunds/rf_0123-4", ""},
	} {
		if _, err := call.do(); err != nil {
			t.Fatal(err)
		}
		r := g.request
		if got := r.Method + " " + r.RequestURI; got != call.method || g.asked != call.body {
			t.Errorf("%s %s\nwant %s %s", got, g.asked, call.method, call.body)
		}
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("Wechatpay-Serial") != publicID || r.Header.Get("User-Agent") == "" {
			t.Errorf("headers %v", r.Header)
		}
		parts := authorizationForm.FindStringSubmatch(r.Header.Get("Authorization"))
		if parts == nil {
			t.Fatalf("authorization %s", r.Header.Get("Authorization"))
		}
		signature, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(strings.Replace(call.method, " ", "\n", 1) + "\n1772452800\n" + parts[1] + "\n" + call.body + "\n"))
		if err := rsa.VerifyPKCS1v15(&thePlatform().merchant.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			t.Errorf("%s: %v", call.method, err)
		}
	}
}

// Money moves on these answers alone; whatever might be another's, or nobody's, is unknown.
func TestAnswersThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	drop := func(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }
	inAmount := func(change func(map[string]any)) func(map[string]any) {
		return func(m map[string]any) { change(m["amount"].(map[string]any)) }
	}
	success := said(t, "SUCCESS", nil)
	for name, g := range map[string]gateway{
		"unsigned":                    {body: success},
		"signed six minutes ago":      {body: success, serial: publicID, at: noon.Add(-6 * time.Minute)},
		"signed by a stranger":        {body: success, serial: publicID, at: noon, change: func(h http.Header) { h.Set("Wechatpay-Serial", "1") }},
		"a probe":                     {body: success, serial: publicID, at: noon, change: probe},
		"another refund's":            {body: said(t, "SUCCESS", set("out_refund_no", "rf2")), serial: publicID, at: noon},
		"another payment's":           {body: said(t, "SUCCESS", set("transaction_id", "42")), serial: publicID, at: noon},
		"of no refund":                {body: said(t, "SUCCESS", drop("out_refund_no")), serial: publicID, at: noon},
		"of another amount":           {body: said(t, "SUCCESS", inAmount(set("refund", 2999))), serial: publicID, at: noon},
		"of a broken amount":          {body: said(t, "SUCCESS", inAmount(set("refund", 3000.5))), serial: publicID, at: noon},
		"of no amount":                {body: said(t, "SUCCESS", drop("amount")), serial: publicID, at: noon},
		"in dollars":                  {body: said(t, "SUCCESS", inAmount(set("currency", "USD"))), serial: publicID, at: noon},
		"of success without its time": {body: said(t, "SUCCESS", drop("success_time")), serial: publicID, at: noon},
		"of no status":                {body: said(t, "SUCCESS", drop("status")), serial: publicID, at: noon},
		"of a status to come":         {body: said(t, "REVERSED", nil), serial: publicID, at: noon},
		"with a field twice":          {body: success[:len(success)-1] + `,"status":"PROCESSING"}`, serial: publicID, at: noon},
		"not JSON":                    {body: "<html>", serial: publicID, at: noon},
		"empty":                       {serial: publicID, at: noon},
		"too large":                   {body: strings.Repeat(" ", 2<<20), serial: publicID, at: noon},
		"a redirect to nowhere":       {status: 302, serial: publicID, at: noon},
		"accepted":                    {status: 202, body: success, serial: publicID, at: noon},
		"no content":                  {status: 204, serial: publicID, at: noon},
		"system error":                {status: 500, body: `{"code":"SYSTEM_ERROR","message":"系统超时"}`, serial: publicID, at: noon},
		"not enough":                  {status: 403, body: `{"code":"NOT_ENOUGH","message":"余额不足"}`, serial: publicID, at: noon},
		"too often":                   {status: 429, body: `{"code":"FREQUENCY_LIMITED","message":"频率限制"}`, serial: publicID, at: noon},
		"a rule of business":          {status: 400, body: `{"code":"INVALID_REQUEST","message":"订单已全额退款"}`, serial: publicID, at: noon},
		"our signature":               {status: 401, body: `{"code":"SIGN_ERROR","message":"签名错误"}`},
		"a void account, unsigned":    {status: 403, body: `{"code":"USER_ACCOUNT_ABNORMAL","message":"退款请求失败"}`},
		"a void account, of 400":      {status: 400, body: `{"code":"USER_ACCOUNT_ABNORMAL","message":"退款请求失败"}`, serial: publicID, at: noon},
		"a proxy's not found":         {status: 404, body: "<html>not found</html>"},
		"a merchant's not found":      {status: 404, body: `{"code":"MCH_NOT_EXISTS","message":"商户号不存在"}`, serial: publicID, at: noon},
		"not found, signed wrongly": {status: 404, body: `{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}`, serial: publicID,
			at: noon.Add(-time.Hour)},
		"not found, of 200": {body: `{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}`, serial: publicID, at: noon},
	} {
		if g.status == 0 {
			g.status = 200
		}
		c := g.serve(t)
		for what, call := range map[string]func() (channel.RefundAnswer, error){
			"refund": func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order()) },
			"query":  func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order()) },
		} {
			answer, err := call()
			channeltest.CheckUnknown(t, what+" of an answer "+name, answer, err, thePlatform().secrets())
			if g.serial == "" && g.status == 200 && !errors.Is(err, channel.ErrNotGenuine) {
				t.Errorf("%s of an answer %s: %v", what, name, err)
			}
		}
	}
}

func probe(h http.Header) {
	h.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+h.Get("Wechatpay-Signature"))
}

func TestRefusalsShowTheirCodeAndAreCutShort(t *testing.T) {
	t.Parallel()
	g := &gateway{status: 403, body: `{"code":"NOT_ENOUGH","message":"余额\n不足` + strings.Repeat("!", 1000) + `"}`, serial: publicID, at: noon}
	_, err := g.serve(t).Refund(t.Context(), order())
	var refusal *wechat.AnswerError
	if !errors.As(err, &refusal) || refusal.Status != 403 || refusal.Code != "NOT_ENOUGH" || !strings.HasPrefix(refusal.Message, "余额 不足!") ||
		len(refusal.Message) > 400 {
		t.Errorf("%v", err)
	}
	g = &gateway{status: 502, body: "<html>secret</html>"}
	_, err = g.serve(t).Refund(t.Context(), order())
	if !errors.As(err, &refusal) || *refusal != (wechat.AnswerError{Status: 502}) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestVoidAccountIsTheEndOfARefund(t *testing.T) {
	t.Parallel()
	g := &gateway{status: 403, body: `{"code":"USER_ACCOUNT_ABNORMAL","message":"退款请求失败"}`, serial: publicID, at: noon}
	c := g.serve(t)
	answer, err := c.Refund(t.Context(), order())
	if want := (channel.RefundAnswer{State: channel.RefundFailed, Reason: "USER_ACCOUNT_ABNORMAL"}); answer != want || err != nil {
		t.Errorf("%+v, %v", answer, err)
	}
	if answer, err := c.Query(t.Context(), order()); err == nil {
		t.Errorf("a query is answered so: %+v", answer)
	}
}

func TestNumberThatWeChatPayHasNeverSeenIsUnknown(t *testing.T) {
	t.Parallel()
	for _, serial := range []string{publicID, ""} {
		g := &gateway{status: 404, body: `{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}`, serial: serial, at: noon}
		c := g.serve(t)
		if answer, err := c.Query(t.Context(), order()); !errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("query, signed by %q: %+v, %v", serial, answer, err)
		}
		// The same of a refund speaks of the payment, and has been seen to pass.
		if answer, err := c.Refund(t.Context(), order()); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("refund, signed by %q: %+v, %v", serial, answer, err)
		}
	}
}

func TestBrokenConnectionsAreUnknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	c := thePlatform().load(t, map[string]any{"base_url": server.URL})
	answer, err := c.Refund(t.Context(), order())
	channeltest.CheckUnknown(t, "refund", answer, err, thePlatform().secrets())
	answer, err = c.Query(t.Context(), order())
	channeltest.CheckUnknown(t, "query", answer, err, thePlatform().secrets())
}

func TestOnlySignedRefusalsOfTheRefundAreRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status       int
		code, serial string
		want         bool
	}{
		"not enough":              {403, "NOT_ENOUGH", publicID, true},
		"no right":                {403, "NO_AUTH", publicID, true},
		"an unknown merchant":     {404, "MCH_NOT_EXISTS", publicID, true},
		"a rule of business":      {400, "INVALID_REQUEST", publicID, true},
		"a parameter":             {400, "PARAM_ERROR", publicID, true},
		"not enough, unsigned":    {403, "NOT_ENOUGH", "", false},
		"too often":               {429, "FREQUENCY_LIMITED", publicID, false},
		"too often, by its code":  {403, "FREQUENCY_LIMITED", publicID, false},
		"our signature":           {401, "SIGN_ERROR", publicID, false},
		"a system error":          {500, "SYSTEM_ERROR", publicID, false},
		"a gateway's":             {502, "NOT_ENOUGH", publicID, false},
		"of a code that is empty": {400, "", publicID, false},
	} {
		g := &gateway{status: c.status, body: `{"code":"` + c.code + `","message":"原因"}`, serial: c.serial, at: noon}
		port := g.serve(t)
		_, refundErr := port.Refund(t.Context(), order())
		_, queryErr := port.Query(t.Context(), order())
		for call, err := range map[string]error{"refund": refundErr, "query": queryErr} {
			if errors.Is(err, channel.ErrRefused) != c.want || err == nil || c.want && !strings.Contains(err.Error(), c.code) {
				t.Errorf("%s, %s: %v; want refused %t", name, call, err, c.want)
			}
			merchants := c.want && slices.Contains([]string{"NOT_ENOUGH", "NO_AUTH", "MCH_NOT_EXISTS"}, c.code)
			if errors.Is(err, channel.ErrMerchantRefused) != merchants {
				t.Errorf("%s, %s: %v; want a refusal of the merchant %t", name, call, err, merchants)
			}
		}
	}
}
