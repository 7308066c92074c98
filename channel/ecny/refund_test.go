package ecny_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func order() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "rf0123456789abcdef0123456789abcd", RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceECNY,
		ChannelTxnID: "003226030219592050185300", Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: noon}
}

// gateway is a bank of which the test scripts the answer, and remembers the request.
type gateway struct {
	status  int               // 0: 200
	fields  map[string]string // of the answer, to be signed
	by      *sm2.PrivateKey   // signs; nil: nobody
	raw     string            // the whole answer, if not empty
	after   func(map[string]string)
	request *http.Request
	asked   map[string]string
}

func (g *gateway) serve(t *testing.T) *ecny.Channel {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err == nil {
			g.request, g.asked = r, nil
			err = json.Unmarshal(asked, &g.asked)
		}
		answer := []byte(g.raw)
		if g.raw == "" {
			fields := maps.Clone(g.fields)
			if g.by != nil {
				pad(t, sign(t, fields, g.by))
			}
			if g.after != nil {
				g.after(fields)
			}
			answer = channeltest.Encode(t, fields)
		}
		w.WriteHeader(max(g.status, 200))
		if _, writeErr := w.Write(answer); err != nil || writeErr != nil {
			t.Error(err, writeErr)
		}
	}))
	t.Cleanup(server.Close)
	c := theBank().load(t, map[string]any{"base_url": server.URL + "/gate/", "notify_url": "https://shop.invalid/v1/notices/ecny"})
	return c.WithClock(clock.Fixed(noon))
}

// said is an answer about the order that is done, its state in the fields of both interfaces.
func said(t *testing.T, state string, changes map[string]any) map[string]string {
	t.Helper()
	content := map[string]any{"merId": merID, "orderId": "rf0123456789abcdef0123456789abcd", "cmbOrderId": "003226030219592050185301",
		"refundAmt": "3000", "refundDscAmt": "0", "currencyCode": "156", "refundState": state, "tradeState": state, "txnTime": "20260302195800"}
	if state == "S" {
		content["endDate"], content["endTime"] = "20260302", "195930"
	}
	if state == "F" {
		content["failureReason"] = "钱包已注销"
	}
	for name, value := range changes {
		with(content, name, value)
	}
	fields := envelope(channeltest.Encode(t, content))
	fields["returnCode"], fields["respCode"] = "SUCCESS", "SUCCESS"
	return fields
}

// refusing is an answer that is not done, about the order.
func refusing(t *testing.T, code string, changes map[string]any) map[string]string {
	t.Helper()
	content := map[string]any{"merId": merID, "orderId": "rf0123456789abcdef0123456789abcd"}
	for name, value := range changes {
		with(content, name, value)
	}
	fields := envelope(channeltest.Encode(t, content))
	fields["returnCode"], fields["respCode"], fields["errCode"], fields["respMsg"] = "SUCCESS", "FAIL", code, "失败"
	return fields
}

func without(fields map[string]string, name string) map[string]string {
	delete(fields, name)
	return fields
}

func replaced(fields map[string]string, name, value string) map[string]string {
	fields[name] = value
	return fields
}

func TestStateOfARefundBecomesItsAnswer(t *testing.T) {
	t.Parallel()
	b := theBank()
	for state, want := range map[string]channel.RefundAnswer{
		"S": {State: channel.RefundSucceeded}, "P": {State: channel.RefundProcessing}, "F": {State: channel.RefundFailed, Reason: "F"},
	} {
		for _, key := range []*sm2.PrivateKey{b.old, b.current} {
			c := (&gateway{fields: said(t, state, nil), by: key}).serve(t)
			answer, err := c.Refund(t.Context(), order())
			if diff := cmp.Diff(want, answer); diff != "" || err != nil {
				t.Errorf("refund, %s: %v (-want +got):\n%s", state, err, diff)
			}
			answer, err = c.Query(t.Context(), order())
			if diff := cmp.Diff(want, answer); diff != "" || err != nil {
				t.Errorf("query, %s: %v (-want +got):\n%s", state, err, diff)
			}
		}
	}
}

// A notice, the answer to the question and that to a query may each leave out endDate and endTime (C4).
func TestEndOfARefundReadsTheSameWhereverItIsTold(t *testing.T) {
	t.Parallel()
	b := theBank()
	var ends []channel.RefundAnswer
	for _, changes := range []map[string]any{nil, {"endTime": nil}, {"endDate": nil, "endTime": nil}, {"endTime": "195931"}} {
		c := (&gateway{fields: said(t, "S", changes), by: b.current}).serve(t)
		content := refunded()
		for name, value := range changes {
			with(content, name, value)
		}
		told, err := c.ReadNotice(nil, b.notice(t, content), noon)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Refund(t.Context(), order())
		if err != nil {
			t.Fatal(err)
		}
		queried, err := c.Query(t.Context(), order())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, told.Refund, answer, queried)
	}
	for _, end := range ends {
		if end != ends[0] {
			t.Errorf("%+v and %+v", ends[0], end)
		}
	}
}

func TestRequestsAreSignedByTheMerchant(t *testing.T) {
	t.Parallel()
	b := theBank()
	g := &gateway{fields: said(t, "P", nil), by: b.current}
	c := g.serve(t)
	byOrder := order()
	byOrder.ChannelTxnID = ""
	for _, call := range []struct {
		do            func() (channel.RefundAnswer, error)
		path, content string
	}{
		{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order()) }, "/gate/polypay/v1.0/mchorders/refund",
			`{"currencyCode":"156","merId":"308999170120FWX","notifyUrl":"https://shop.invalid/v1/notices/ecny",` +
				`"orderId":"rf0123456789abcdef0123456789abcd","origCmbOrderId":"003226030219592050185300","refundAmt":"3000","txnAmt":"10000","userId":"N003525987"}`},
		{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), byOrder) }, "/gate/polypay/v1.0/mchorders/refund",
			`{"currencyCode":"156","merId":"308999170120FWX","notifyUrl":"https://shop.invalid/v1/notices/ecny",` +
				`"orderId":"rf0123456789abcdef0123456789abcd","origOrderId":"o1","refundAmt":"3000","txnAmt":"10000","userId":"N003525987"}`},
		{func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order()) }, "/gate/polypay/v1.0/mchorders/refundquery",
			`{"merId":"308999170120FWX","orderId":"rf0123456789abcdef0123456789abcd","userId":"N003525987"}`},
	} {
		if _, err := call.do(); err != nil {
			t.Fatal(err)
		}
		if g.request.Method != http.MethodPost || g.request.RequestURI != call.path || g.asked["biz_content"] != call.content || len(g.asked) != 5 ||
			g.request.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v\nwant %s %s", g.request.Method, g.request.RequestURI, g.asked, call.path, call.content)
		}
		signature, err := base64.StdEncoding.DecodeString(g.asked["sign"])
		if err != nil || !sm2.VerifyASN1WithSM2(&b.merchant.PublicKey, nil, []byte(signedText(g.asked)), signature) {
			t.Errorf("the request is not signed: %v", g.asked)
		}
		sum := md5.Sum([]byte("appid=" + appID + "&secret=" + appSecret + "&sign=" + g.asked["sign"] + "&timestamp=1772452800"))
		if h := g.request.Header; h.Get("appid") != appID || h.Get("timestamp") != "1772452800" || h.Get("apisign") != hex.EncodeToString(sum[:]) {
			t.Errorf("headers %v", h)
		}
	}
}

// Money moves on these answers alone; whatever might be another's, or nobody's, is unknown.
func TestAnswersThatAreNotCertainAreErrors(t *testing.T) {
	t.Parallel()
	b := theBank()
	succeeded := said(t, "S", nil)["biz_content"]
	for name, g := range map[string]*gateway{
		"unsigned":                  {fields: said(t, "S", nil)},
		"signed by the merchant":    {fields: said(t, "S", nil), by: b.merchant},
		"signed by a stranger":      {fields: said(t, "S", nil), by: keyOf("stranger")},
		"changed afterwards":        {fields: said(t, "P", nil), by: b.current, after: func(f map[string]string) { f["biz_content"] = succeeded }},
		"with another field":        {fields: said(t, "S", nil), by: b.current, after: func(f map[string]string) { f["x"] = "1" }},
		"by RSA":                    {fields: replaced(said(t, "S", nil), "signMethod", "01"), by: b.current},
		"of another version":        {fields: replaced(said(t, "S", nil), "version", "1"), by: b.current},
		"another refund's":          {fields: said(t, "S", map[string]any{"orderId": "rf2"}), by: b.current},
		"of no refund":              {fields: said(t, "S", map[string]any{"orderId": nil}), by: b.current},
		"another merchant's":        {fields: said(t, "S", map[string]any{"merId": "308999170120FWY"}), by: b.current},
		"of no merchant":            {fields: said(t, "S", map[string]any{"merId": nil}), by: b.current},
		"of another amount":         {fields: said(t, "S", map[string]any{"refundAmt": "2999"}), by: b.current},
		"of a broken amount":        {fields: said(t, "S", map[string]any{"refundAmt": "3000.0"}), by: b.current},
		"of no amount":              {fields: said(t, "S", map[string]any{"refundAmt": nil}), by: b.current},
		"in dollars":                {fields: said(t, "S", map[string]any{"currencyCode": "840"}), by: b.current},
		"of no state":               {fields: said(t, "S", map[string]any{"refundState": nil, "tradeState": nil}), by: b.current},
		"of a state to come":        {fields: said(t, "R", nil), by: b.current},
		"of a state in lower case":  {fields: said(t, "s", nil), by: b.current},
		"of no content":             {fields: without(said(t, "S", nil), "biz_content"), by: b.current},
		"of a list":                 {fields: replaced(said(t, "S", nil), "biz_content", "[]"), by: b.current},
		"of no returnCode":          {fields: without(said(t, "S", nil), "returnCode"), by: b.current},
		"of no respCode":            {fields: without(said(t, "S", nil), "respCode"), by: b.current},
		"with a field twice":        {raw: `{"returnCode":"SUCCESS","returnCode":"SUCCESS"}`},
		"with a number":             {raw: `{"returnCode":"SUCCESS","respCode":1}`},
		"not JSON":                  {raw: "<html>"},
		"of nothing":                {raw: "{}"},
		"too large":                 {raw: strings.Repeat(" ", 2<<20)},
		"a redirect to nowhere":     {fields: said(t, "S", nil), by: b.current, status: 302},
		"accepted":                  {fields: said(t, "S", nil), by: b.current, status: 202},
		"of a gateway":              {raw: "bad gateway", status: 502},
		"a system error":            {fields: refusing(t, "SYSTERM_ERROR", nil), by: b.current},
		"maintenance":               {fields: refusing(t, "SYSTERM_MAINTAINING", nil), by: b.current},
		"not enough":                {fields: refusing(t, "NOT_ENOUGH", nil), by: b.current},
		"no such payment":           {fields: refusing(t, "OCMBORDERID_NOT_EXIST", nil), by: b.current},
		"the number again":          {fields: refusing(t, "ORDERID_DUPLICATION", nil), by: b.current},
		"a signature refused":       {fields: without(replaced(refusing(t, "SIGN_ERROR", nil), "returnCode", "FAIL"), "respCode"), by: b.current},
		"refused without signature": {fields: without(replaced(refusing(t, "JSON_FORMAT_ERROR", nil), "returnCode", "FAIL"), "respCode")},
		"overdue, unsigned":         {fields: refusing(t, "TRADE_OVERDUE", nil)},
		"overdue, not understood":   {fields: replaced(refusing(t, "TRADE_OVERDUE", nil), "returnCode", "FAIL"), by: b.current},
		"overdue, another's":        {fields: refusing(t, "TRADE_OVERDUE", map[string]any{"orderId": "rf2"}), by: b.current},
		"overdue, nobody's":         {fields: without(refusing(t, "TRADE_OVERDUE", nil), "biz_content"), by: b.current},
		"unknown, unsigned":         {fields: refusing(t, "CMBORDERID_NOT_EXIST", nil)},
		"unknown, not understood":   {fields: replaced(refusing(t, "CMBORDERID_NOT_EXIST", nil), "returnCode", "FAIL"), by: b.current},
		"unknown, another's":        {fields: refusing(t, "CMBORDERID_NOT_EXIST", map[string]any{"orderId": "rf2"}), by: b.current},
		"unknown, unreadable":       {fields: replaced(refusing(t, "CMBORDERID_NOT_EXIST", nil), "biz_content", "["), by: b.current},
		"unknown, of 404":           {fields: refusing(t, "CMBORDERID_NOT_EXIST", nil), by: b.current, status: 404},
		"too old to be found":       {fields: refusing(t, "CMB_ORDERID_NOT_EXIST", nil), by: b.current},
	} {
		c := g.serve(t)
		for what, call := range map[string]func() (channel.RefundAnswer, error){
			"refund": func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order()) },
			"query":  func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order()) },
		} {
			answer, err := call()
			channeltest.CheckUnknown(t, what+" of an answer "+name, answer, err, secrets())
		}
	}
}

func TestRefusalsShowTheirCodeAndAreCutShort(t *testing.T) {
	t.Parallel()
	b := theBank()
	fields := replaced(refusing(t, "NOT_ENOUGH", nil), "respMsg", "余额\n不足"+strings.Repeat("!", 1000))
	_, err := (&gateway{fields: fields, by: b.current}).serve(t).Refund(t.Context(), order())
	var refusal *ecny.AnswerError
	if !errors.As(err, &refusal) || refusal.Status != 200 || refusal.Code != "NOT_ENOUGH" || !strings.HasPrefix(refusal.Message, "余额 不足!") ||
		len(refusal.Message) > 400 {
		t.Errorf("%v", err)
	}
	_, err = (&gateway{raw: "<html>secret</html>", status: 502}).serve(t).Refund(t.Context(), order())
	if !errors.As(err, &refusal) || *refusal != (ecny.AnswerError{Status: 502}) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestOverduePaymentIsTheEndOfARefund(t *testing.T) {
	t.Parallel()
	c := (&gateway{fields: refusing(t, "TRADE_OVERDUE", nil), by: theBank().current}).serve(t)
	answer, err := c.Refund(t.Context(), order())
	if want := (channel.RefundAnswer{State: channel.RefundFailed, Reason: "TRADE_OVERDUE"}); answer != want || err != nil {
		t.Errorf("%+v, %v", answer, err)
	}
	if answer, err := c.Query(t.Context(), order()); err == nil {
		t.Errorf("a query is answered so: %+v", answer)
	}
}

// The bank looks back 15 days: after that it denies what was.
func TestDenialOfANumberIsBelievedForFourteenDays(t *testing.T) {
	t.Parallel()
	b := theBank()
	for name, fields := range map[string]map[string]string{"with its content": refusing(t, "CMBORDERID_NOT_EXIST", nil),
		"without a content": without(refusing(t, "CMBORDERID_NOT_EXIST", nil), "biz_content"),
		"without a number":  refusing(t, "CMBORDERID_NOT_EXIST", map[string]any{"orderId": nil})} {
		c := (&gateway{fields: fields, by: b.current}).serve(t)
		for age, want := range map[time.Duration]bool{0: true, -time.Minute: true, 14 * 24 * time.Hour: true, 14*24*time.Hour + time.Second: false,
			100 * 24 * time.Hour: false} {
			_, err := c.WithClock(clock.Fixed(noon.Add(age))).Query(t.Context(), order())
			if errors.Is(err, channel.ErrUnknownNumber) != want || err == nil {
				t.Errorf("%s, %v after the order: %v", name, age, err)
			}
		}
		if answer, err := c.Refund(t.Context(), order()); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("a refund is answered so: %+v, %v", answer, err)
		}
	}
}

func TestBrokenConnectionsAreUnknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	c := theBank().load(t, map[string]any{"base_url": server.URL})
	answer, err := c.Refund(t.Context(), order())
	channeltest.CheckUnknown(t, "refund", answer, err, secrets())
	answer, err = c.Query(t.Context(), order())
	channeltest.CheckUnknown(t, "query", answer, err, secrets())
}

func TestOnlySignedRefusalsOfTheRefundAreRefusals(t *testing.T) {
	t.Parallel()
	b := theBank()
	for name, c := range map[string]struct {
		gateway *gateway
		want    bool
	}{
		"not enough":            {&gateway{fields: refusing(t, "NOT_ENOUGH", nil), by: b.current}, true},
		"a closed account":      {&gateway{fields: refusing(t, "MCH_STATUS_ERROR", nil), by: b.current}, true},
		"no such payment":       {&gateway{fields: refusing(t, "OCMBORDERID_NOT_EXIST", nil), by: b.current}, true},
		"not enough, unsigned":  {&gateway{fields: refusing(t, "NOT_ENOUGH", nil)}, false},
		"not enough, of 500":    {&gateway{fields: refusing(t, "NOT_ENOUGH", nil), by: b.current, status: 500}, false},
		"not understood":        {&gateway{fields: replaced(refusing(t, "NOT_ENOUGH", nil), "returnCode", "FAIL"), by: b.current}, false},
		"a system error":        {&gateway{fields: refusing(t, "SYSTERM_ERROR", nil), by: b.current}, false},
		"maintenance":           {&gateway{fields: refusing(t, "SYSTERM_MAINTAINING", nil), by: b.current}, false},
		"of no code":            {&gateway{fields: refusing(t, "", nil), by: b.current}, false},
		"neither done nor fail": {&gateway{fields: replaced(refusing(t, "NOT_ENOUGH", nil), "respCode", "?"), by: b.current}, false},
	} {
		port := c.gateway.serve(t)
		_, refundErr := port.Refund(t.Context(), order())
		_, queryErr := port.Query(t.Context(), order())
		for call, err := range map[string]error{"refund": refundErr, "query": queryErr} {
			if errors.Is(err, channel.ErrRefused) != c.want || err == nil || c.want && !strings.Contains(err.Error(), c.gateway.fields["errCode"]) {
				t.Errorf("%s, %s: %v; want refused %t", name, call, err, c.want)
			}
			merchants := c.want && slices.Contains([]string{"NOT_ENOUGH", "MCH_STATUS_ERROR"}, c.gateway.fields["errCode"])
			if errors.Is(err, channel.ErrMerchantRefused) != merchants {
				t.Errorf("%s, %s: %v; want a refusal of the merchant %t", name, call, err, merchants)
			}
		}
	}
}
