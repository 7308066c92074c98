package alipaysim_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	library "github.com/smartwalle/alipay/v3"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/alipay/alipaysim"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

const (
	outTradeNo = "rc0123456789abcdef0123456789abcd"
	tradeNo    = "2026030222001435011433387454"
)

var (
	noon   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	paidAt = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
)

// simulated is made once, as keys, because they are slow to find. Each test restores an Alipay of its own from them.
var simulated = sync.OnceValue(func() []byte {
	sim, err := alipaysim.New(clock.Fixed(noon))
	if err != nil {
		panic(err)
	}
	keys, err := sim.Keys()
	if err != nil {
		panic(err)
	}
	return keys
})

func newDesk() *channeltest.Desk {
	return &channeltest.Desk{At: noon, End: channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: noon},
		Paid: simulate.Payment{OutTradeNo: outTradeNo, ChannelTxnID: tradeNo, Amount: money.FromFen(100_00), PaidAt: paidAt}}
}

func restore(t *testing.T, clock clock.Clock) *alipaysim.Channel {
	t.Helper()
	sim, err := alipaysim.Restore(clock, simulated())
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// load makes the merchant's side, whose settings are changed by changes: nil removes.
func load(t *testing.T, sim *alipaysim.Channel, baseURL string, changes map[string]any) *alipay.Channel {
	t.Helper()
	dir := t.TempDir()
	settings, err := sim.MerchantSettings(dir, baseURL)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := json.Unmarshal(settings, &values); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		values[name] = value
		if value == nil {
			delete(values, name)
		}
	}
	if settings, err = json.Marshal(values); err != nil {
		t.Fatal(err)
	}
	c, err := alipay.Load(dir, settings, &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c.WithClock(clock.Fixed(noon))
}

// connect serves a simulated Alipay over the desk, and loads the merchant's side of it.
func connect(t *testing.T, sim *alipaysim.Channel, d *channeltest.Desk) *alipay.Channel {
	t.Helper()
	server := httptest.NewServer(sim.Handler(d))
	t.Cleanup(server.Close)
	return load(t, sim, server.URL, nil)
}

func order(number, amount string) tasks.RefundOrder {
	refunded, err := money.Parse(amount)
	if err != nil {
		panic(err)
	}
	return tasks.RefundOrder{Number: number, RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceAlipay, ChannelTxnID: tradeNo,
		Captured: money.FromFen(100_00), Amount: refunded, OccurredAt: paidAt}
}

func TestNoticesReadEqualToWhatWasSent(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	c := connect(t, sim, newDesk())
	paid := channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventPaid, ID: "n1", MerchantID: alipaysim.SellerID,
		AppID: alipaysim.AppID, OutTradeNo: outTradeNo, ChannelTxnID: tradeNo, Amount: money.FromFen(100_00), OccurredAt: paidAt}
	closed := paid
	closed.Event = channel.EventClosed
	part := paid
	part.Event, part.RefundNumber, part.Refund = channel.EventRefund, "rf1", channel.RefundAnswer{State: channel.RefundSucceeded}
	part.Amount, part.RefundedTotal, part.OccurredAt = money.Amount{}, money.FromFen(70_00), paidAt.Add(287*time.Millisecond)
	whole := part
	whole.RefundedTotal = money.FromFen(100_00)
	other := channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventOther, ID: "n1", OccurredAt: noon}
	for _, signing := range []alipaysim.Signing{alipaysim.ByPublicKey, alipaysim.ByCertificate} {
		sim.SignWith(signing)
		for name, want := range map[string]channel.Notice{"paid": paid, "closed": closed, "part": part, "whole": whole, "other": other} {
			message, err := sim.Notice(want, noon)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.ReadNotice(message.Header, message.Body, noon)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s, signed by %s: %v (-want +got):\n%s", name, signing, err, diff)
			}
			form, err := url.ParseQuery(string(message.Body))
			state := map[string]string{"paid": "TRADE_SUCCESS", "closed": "TRADE_CLOSED", "part": "TRADE_SUCCESS", "whole": "TRADE_CLOSED",
				"other": "WAIT_BUYER_PAY"}[name]
			if err != nil || form.Get("trade_status") != state || form.Has("alipay_cert_sn") != (signing == alipaysim.ByCertificate) {
				t.Errorf("%s, signed by %s: the state is %s, %v", name, signing, form.Get("trade_status"), err)
			}
		}
	}
}

func TestNoticeIsTheSameAtEachDelivery(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	c := load(t, sim, "https://alipay.invalid", nil)
	told := channel.Notice{Event: channel.EventRefund, OutTradeNo: outTradeNo, ChannelTxnID: tradeNo, Amount: money.FromFen(30_00),
		OccurredAt: paidAt, RefundNumber: "rf1", Refund: channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: paidAt}}
	var first channel.Notice
	for _, at := range []time.Time{noon, noon.Add(25 * time.Hour)} {
		message, err := sim.Notice(told, at)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.ReadNotice(message.Header, message.Body, at)
		if err != nil || got.ID == "" || got.MerchantID != alipaysim.SellerID || got.RefundedTotal != told.Amount {
			t.Errorf("at %v: %+v, %v", at, got, err)
		}
		if first.ID != "" && first != got {
			t.Errorf("again (-first +got):\n%s", cmp.Diff(first, got))
		}
		first = got
	}
}

func TestFailedRefundsAreToldToNobody(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	for _, state := range []channel.RefundState{channel.RefundFailed, channel.RefundProcessing, ""} {
		notice := channel.Notice{Event: channel.EventRefund, Amount: money.FromFen(1), Refund: channel.RefundAnswer{State: state}}
		if message, err := sim.Notice(notice, noon); !errors.Is(err, simulate.ErrNoNotice) || message.Body != nil {
			t.Errorf("%s: %s, %v", state, message.Body, err)
		}
	}
}

// The port and the simulator speak with each other, over a real connection.
func TestRefundsArePaidOnceEach(t *testing.T) {
	t.Parallel()
	for _, signing := range []alipaysim.Signing{alipaysim.ByPublicKey, alipaysim.ByCertificate} {
		sim, d := restore(t, clock.Fixed(noon)), newDesk()
		sim.SignWith(signing)
		c := connect(t, sim, d)
		byOrder := order("rf2", "20.00")
		byOrder.ChannelTxnID, byOrder.OrderID = "", outTradeNo
		succeeded, processing := channel.RefundAnswer{State: channel.RefundSucceeded}, channel.RefundAnswer{State: channel.RefundProcessing}
		for step, s := range []struct {
			ask   func() (channel.RefundAnswer, error)
			want  channel.RefundAnswer
			isErr error
		}{
			{func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order("rf1", "30.00")) }, channel.RefundAnswer{}, channel.ErrUnknownNumber},
			{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order("rf1", "30.00")) }, succeeded, nil},
			{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order("rf1", "30.00")) }, processing, nil},
			{func() (channel.RefundAnswer, error) { return c.Query(t.Context(), order("rf1", "30.00")) }, succeeded, nil},
			{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), byOrder) }, succeeded, nil},
			{func() (channel.RefundAnswer, error) { return c.Query(t.Context(), byOrder) }, succeeded, nil},
			{func() (channel.RefundAnswer, error) { return c.Refund(t.Context(), order("rf3", "50.00")) }, succeeded, nil},
		} {
			if got, err := s.ask(); got != s.want || !errors.Is(err, s.isErr) {
				t.Errorf("%s, step %d: %+v, %v; want %+v, %v", signing, step, got, err, s.want, s.isErr)
			}
		}
		if taken := d.Taken(); taken["rf3"].RefundedTotal != money.FromFen(100_00) || len(taken) != 3 {
			t.Errorf("%s: refunds %+v", signing, taken)
		}
	}
}

func TestRefusalsOfTheDeskAreTold(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	nobodys := order("rf1", "30.00")
	nobodys.ChannelTxnID = "1"
	for name, c := range map[string]struct {
		desk  func(*channeltest.Desk)
		order tasks.RefundOrder
		want  string
	}{
		"nobody's payment": {func(*channeltest.Desk) {}, nobodys, "ACQ.TRADE_NOT_EXIST"},
		"too much":         {func(*channeltest.Desk) {}, order("rf1", "100.01"), "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"},
		"another amount": {func(d *channeltest.Desk) { _, _, _ = d.Refund("rf1", tradeNo, "", money.FromFen(1)) }, order("rf1", "30.00"),
			"ACQ.DISCORDANT_REPEAT_REQUEST"},
		"a full disk": {func(d *channeltest.Desk) { d.Fails = errors.New("no space") }, order("rf1", "30.00"), "ACQ.SYSTEM_ERROR"},
		"no number":   {func(*channeltest.Desk) {}, order("", "30.00"), "ACQ.INVALID_PARAMETER"},
	} {
		d := newDesk()
		c.desk(d)
		var refusal *alipay.AnswerError
		if answer, err := connect(t, sim, d).Refund(t.Context(), c.order); !errors.As(err, &refusal) || refusal.SubCode != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, answer, err, c.want)
		}
	}
}

func TestFailuresAreHeardBySendingAgain(t *testing.T) {
	t.Parallel()
	failed := channel.RefundAnswer{State: channel.RefundFailed, Reason: "ACQ.TRADE_HAS_FINISHED"}
	for name, change := range map[string]func(*channeltest.Desk){
		"the desk fails it":                    func(d *channeltest.Desk) { d.End = channel.RefundAnswer{State: channel.RefundFailed} },
		"the payment is more than a year past": func(d *channeltest.Desk) { d.Paid.PaidAt = noon.AddDate(-1, 0, -1) },
	} {
		d := newDesk()
		change(d)
		c := connect(t, restore(t, clock.Fixed(noon)), d)
		for _, asked := range []bool{false, true, true} {
			if got, err := channel.Pursue(t.Context(), c, order("rf1", "30.00"), asked); got != failed || err != nil {
				t.Errorf("%s, asked before %v: %+v, %v", name, asked, got, err)
			}
		}
	}
}

func TestLostAnswerIsUnknownAndThenFound(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.Drops = true
	c := connect(t, restore(t, clock.Fixed(noon)), d)
	if answer, err := c.Refund(t.Context(), order("rf1", "30.00")); err == nil {
		t.Errorf("the answer was not lost: %+v", answer)
	}
	answer, err := channel.Pursue(t.Context(), c, order("rf1", "30.00"), true)
	if err != nil || answer.State != channel.RefundSucceeded || len(d.Taken()) != 1 {
		t.Errorf("%+v, %v, %d refunds", answer, err, len(d.Taken()))
	}
}

func TestRefundThatIsNotMadeYetIsProcessing(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.End = channel.RefundAnswer{State: channel.RefundProcessing}
	c := connect(t, restore(t, clock.Fixed(noon)), d)
	for _, asked := range []bool{false, true} {
		if answer, err := channel.Pursue(t.Context(), c, order("rf1", "30.00"), asked); err != nil || answer.State != channel.RefundProcessing {
			t.Errorf("asked before %v: %+v, %v", asked, answer, err)
		}
	}
}

func TestOldSettingsLackNewKeysAndNewOnesHaveAll(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	before := load(t, sim, "https://alipay.invalid", nil)
	paid := channel.Notice{Event: channel.EventPaid, OutTradeNo: outTradeNo, ChannelTxnID: tradeNo, Amount: money.FromFen(1), OccurredAt: paidAt}
	onItsWay, err := sim.Notice(paid, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := load(t, sim, "https://alipay.invalid", nil)
	fresh, err := sim.Notice(paid, noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		merchant *alipay.Channel
		message  simulate.Message
		want     error
	}{
		"old message, old settings": {before, onItsWay, nil}, "new message, old settings": {before, fresh, channel.ErrNotGenuine},
		"old message, new settings": {after, onItsWay, nil}, "new message, new settings": {after, fresh, nil},
	} {
		if _, err := c.merchant.ReadNotice(c.message.Header, c.message.Body, noon); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestRestoredAlipayIsTheSame(t *testing.T) {
	t.Parallel()
	one, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, other} {
		sim := restore(t, clock.Fixed(noon))
		settings, err := sim.MerchantSettings(dir, "https://alipay.invalid")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "alipay.json"), settings, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(one)
	if err != nil || len(files) != 6 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		first, err := os.ReadFile(filepath.Join(one, file.Name()))
		second, otherErr := os.ReadFile(filepath.Join(other, file.Name()))
		if err != nil || otherErr != nil || string(first) != string(second) {
			t.Errorf("%s differs: %v, %v", file.Name(), err, otherErr)
		}
	}
	for _, keys := range []string{"", "{}", `{"keys":[{}]}`, strings.Replace(string(simulated()), `"private":"`, `"private":"AAAA`, 1)} {
		if _, err := alipaysim.Restore(clock.Fixed(noon), []byte(keys)); err == nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("keys %.20s: %v", keys, err)
		}
	}
}

func TestOnlySuccessIsAcknowledged(t *testing.T) {
	t.Parallel()
	sim := restore(t, clock.Fixed(noon))
	for answer, want := range map[string]bool{"success": true, "success\n": false, " success": false, "SUCCESS": false, "fail": false, "": false,
		`"success"`: false, "successful": false} {
		if sim.Acknowledged(200, []byte(answer)) != want {
			t.Errorf("200 %q is acknowledged: %v", answer, !want)
		}
		if sim.Acknowledged(500, []byte(answer)) {
			t.Errorf("500 %q is acknowledged", answer)
		}
	}
	var all time.Duration
	for _, pause := range sim.Redeliveries() {
		all += pause
	}
	if all != 24*time.Hour+24*time.Minute || len(sim.Redeliveries()) != 7 {
		t.Errorf("%d redeliveries in %v", len(sim.Redeliveries()), all)
	}
}

// damage is a client's transport that changes the form of each request.
type damage func(form url.Values)

func (d damage) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	d(form)
	other := r.Clone(r.Context())
	other.Body, other.ContentLength = io.NopCloser(strings.NewReader(form.Encode())), int64(len(form.Encode()))
	return http.DefaultTransport.RoundTrip(other)
}

func TestGatewayTakesNoRequestThatTheAppHasNotSigned(t *testing.T) {
	t.Parallel()
	sim, d := restore(t, clock.Fixed(noon)), newDesk()
	server := httptest.NewServer(sim.Handler(d))
	t.Cleanup(server.Close)
	set := func(name, value string) damage { return func(form url.Values) { form.Set(name, value) } }
	for name, c := range map[string]struct {
		damage damage
		at     time.Time
		want   string
	}{
		"another amount":      {set("biz_content", `{"trade_no":"`+tradeNo+`","refund_amount":"99.00","out_request_no":"rf1"}`), noon, "isv.invalid-signature"},
		"another app":         {set("app_id", "1"), noon, "isv.invalid-signature"},
		"another certificate": {set("app_cert_sn", "1"), noon, "isv.invalid-signature"},
		"another root":        {set("alipay_root_cert_sn", ""), noon, "isv.invalid-signature"},
		"a signature of none": {set("sign", ""), noon, "isv.invalid-signature"},
		"an older scheme":     {set("sign_type", "RSA"), noon, "isv.invalid-signature"},
		"a field more":        {set("notify_url", "https://shop.invalid"), noon, "isv.invalid-signature"},
		"a field twice":       {func(form url.Values) { form.Add("version", "1.0") }, noon, "isv.invalid-signature"},
		"another method":      {set("method", "alipay.trade.close"), noon, "isv.invalid-method"},
		"an old request":      {func(url.Values) {}, noon.Add(-16 * time.Minute), "isv.invalid-signature"},
	} {
		dir := t.TempDir()
		settings, err := sim.MerchantSettings(dir, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		merchant, err := alipay.Load(dir, settings, &http.Client{Transport: c.damage})
		if err != nil {
			t.Fatal(err)
		}
		var refusal *alipay.AnswerError
		if answer, err := merchant.WithClock(clock.Fixed(c.at)).Refund(t.Context(), order("rf1", "30.00")); !errors.As(err, &refusal) || refusal.SubCode != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, answer, err, c.want)
		}
	}
	if len(d.Taken()) != 0 {
		t.Errorf("%d refunds were taken", len(d.Taken()))
	}
	bare := load(t, sim, server.URL, map[string]any{"alipay_certificates": nil, "app_certificate": nil, "alipay_root_certificate": nil})
	if answer, err := bare.Refund(t.Context(), order("rf1", "30.00")); err != nil || answer.State != channel.RefundSucceeded {
		t.Errorf("without certificates: %+v, %v", answer, err)
	}
}

// Another client than ours understands the gateway, so that the two sides do not share a mistake.
func TestLibraryIsPaidBackByTheGateway(t *testing.T) {
	t.Parallel()
	sim, d := restore(t, clock.System), newDesk()
	server := httptest.NewServer(sim.Handler(d))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	if _, err := sim.MerchantSettings(dir, server.URL); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(content))
	}
	client, err := library.New(alipaysim.AppID, read("app_private_key.txt"), false, library.WithSandboxGateway(server.URL+"/gateway.do"),
		library.WithTimeLocation(clock.Shanghai))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(client.LoadAliPayPublicKey(read("alipay_public_key_1.txt")), client.LoadAppCertPublicKey(read("app_certificate.crt")),
		client.LoadAliPayRootCert(read("alipay_root_certificate.crt"))); err != nil {
		t.Fatal(err)
	}
	refund, err := client.TradeRefund(t.Context(), library.TradeRefund{TradeNo: tradeNo, RefundAmount: "30.00", OutRequestNo: "rf1"})
	if err != nil || refund.FundChange != "Y" || refund.RefundFee != "30.00" || refund.TradeNo != tradeNo {
		t.Errorf("refund: %+v, %v", refund, err)
	}
	query, err := client.TradeFastPayRefundQuery(t.Context(), library.TradeFastPayRefundQuery{TradeNo: tradeNo, OutRequestNo: "rf1"})
	if err != nil || query.RefundStatus != "REFUND_SUCCESS" || query.RefundAmount != "30.00" || query.OutRequestNo != "rf1" {
		t.Errorf("query: %+v, %v", query, err)
	}
	trade, err := client.TradeQuery(t.Context(), library.TradeQuery{OutTradeNo: outTradeNo})
	if err != nil || trade.TradeStatus != library.TradeStatusSuccess || trade.TradeNo != tradeNo || trade.TotalAmount != "100.00" ||
		trade.SendPayDate != "2026-03-02 19:59:30" {
		t.Errorf("query of the trade: %+v, %v", trade, err)
	}
	none, err := client.TradeFastPayRefundQuery(t.Context(), library.TradeFastPayRefundQuery{TradeNo: tradeNo, OutRequestNo: "rf2"})
	if err != nil || none.RefundStatus != "" {
		t.Errorf("query of another number: %+v, %v", none, err)
	}
}

// The files are what Alipay's own tools give: keys are base64 without a frame, certificates have one.
func TestFilesHaveTheFormOfAlipaysTools(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := restore(t, clock.Fixed(noon)).MerchantSettings(dir, "https://alipay.invalid"); err != nil {
		t.Fatal(err)
	}
	for name, framed := range map[string]bool{"app_private_key.txt": false, "alipay_public_key_1.txt": false, "app_certificate.crt": true,
		"alipay_certificate_0.crt": true, "alipay_root_certificate.crt": true} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(content)
		_, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
		if (block != nil) != framed || (err == nil) == framed {
			t.Errorf("%s: %.30s", name, content)
		}
	}
}
