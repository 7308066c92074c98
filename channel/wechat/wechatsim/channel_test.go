package wechatsim_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// scripted is a desk with one payment, of which the test says what becomes of refunds.
type scripted struct {
	paidAt time.Time
	orders map[string]simulate.Ordered
	refund simulate.Refund
	drop   error
	err    error
	asked  int
}

func (d *scripted) Payment(channelTxnID, outTradeNo string) (simulate.Payment, bool) {
	paid := simulate.Payment{OutTradeNo: "o1", ChannelTxnID: "4200001", Amount: money.FromFen(100_00), PaidAt: d.paidAt}
	return paid, channelTxnID == paid.ChannelTxnID || channelTxnID == "" && outTradeNo == paid.OutTradeNo
}

func (d *scripted) Ordered(outTradeNo string) (simulate.Ordered, bool) {
	found, known := d.orders[outTradeNo]
	return found, known
}

func (d *scripted) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (_ simulate.Refund, drop, err error) {
	d.asked++
	d.refund.Number, d.refund.Amount = number, amount
	d.refund.Payment, _ = d.Payment(channelTxnID, outTradeNo)
	return d.refund, d.drop, d.err
}

func (d *scripted) Refunded(number string) (simulate.Refund, bool) {
	return d.refund, d.refund.Number == number && d.refund.Number != ""
}

func (d *scripted) Now() time.Time { return noon }

// gate is a simulated WeChat Pay over HTTP, and the merchant's port that asks it.
type gate struct {
	sim    *wechatsim.Channel
	desk   *scripted
	server *httptest.Server
	port   *wechat.Channel
}

// keys are made once: they are slow to find.
var keys = sync.OnceValues(func() ([]byte, error) {
	sim, err := wechatsim.New(clock.Fixed(noon))
	if err != nil {
		return nil, err
	}
	return sim.Keys()
})

func newGate(t *testing.T) *gate {
	t.Helper()
	kept, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	sim, err := wechatsim.Restore(clock.Fixed(noon), kept)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{sim: sim, desk: &scripted{paidAt: noon.Add(-time.Hour)}}
	g.server = httptest.NewServer(http.StripPrefix("/wechat", sim.Handler(g.desk)))
	t.Cleanup(g.server.Close)
	g.port = g.merchant(t).WithClock(clock.Fixed(noon))
	return g
}

// merchant loads what the channel hands over now.
func (g *gate) merchant(t *testing.T) *wechat.Channel {
	t.Helper()
	dir := t.TempDir()
	settings, err := g.sim.MerchantSettings(dir, g.server.URL+"/wechat")
	if err != nil {
		t.Fatal(err)
	}
	port, err := wechat.Load(dir, settings, g.server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func order() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "rf1", RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceWeChat, ChannelTxnID: "4200001",
		Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: noon}
}

// notices are one of each that WeChat Pay sends, as the merchant is to read them.
func notices() map[string]channel.Notice {
	base := channel.Notice{Channel: tasks.SourceWeChat, ID: "EV-1", MerchantID: wechatsim.MerchantID, OutTradeNo: "o1", ChannelTxnID: "4200001",
		Amount: money.FromFen(30_00), OccurredAt: noon}
	paid, succeeded, closed, abnormal := base, base, base, base
	paid.Event, paid.AppID = channel.EventPaid, wechatsim.AppID
	succeeded.Event, succeeded.RefundNumber = channel.EventRefund, "rf1"
	succeeded.Refund = channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: noon}
	closed.Event, closed.RefundNumber, closed.Refund = channel.EventRefund, "rf1", channel.RefundAnswer{State: channel.RefundFailed, Reason: "CLOSED"}
	abnormal.Event, abnormal.RefundNumber = channel.EventRefund, "rf1"
	abnormal.Refund = channel.RefundAnswer{State: channel.RefundFailed, Reason: "ABNORMAL"}
	return map[string]channel.Notice{"paid": paid, "refund succeeded": succeeded, "refund closed": closed, "refund abnormal": abnormal,
		"other": {Channel: tasks.SourceWeChat, Event: channel.EventOther, ID: "EV-1", OccurredAt: noon}}
}

func TestMerchantReadsEveryNoticeByEitherKindOfKey(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	for _, signing := range []wechatsim.Signing{wechatsim.ByCertificate, wechatsim.ByPublicKey} {
		g.sim.SignWith(signing)
		for name, want := range notices() {
			message, err := g.sim.Notice(want, noon)
			if err != nil {
				t.Fatal(err)
			}
			if byKey := strings.HasPrefix(message.Header.Get("Wechatpay-Serial"), "PUB_KEY_ID_"); byKey != (signing == wechatsim.ByPublicKey) {
				t.Errorf("%s by %s is signed with %s", name, signing, message.Header.Get("Wechatpay-Serial"))
			}
			got, err := g.port.ReadNotice(message.Header, message.Body, noon)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s by %s: %v, (-written +read):\n%s", name, signing, err, diff)
			}
			if _, err := g.port.ReadNotice(message.Header, message.Body, noon.Add(5*time.Minute)); !errors.Is(err, channel.ErrStale) {
				t.Errorf("%s, five minutes later: %v", name, err)
			}
			probe, err := g.sim.Probe(want, noon)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.port.ReadNotice(probe.Header, probe.Body, noon); !errors.Is(err, channel.ErrProbe) {
				t.Errorf("%s as a probe: %v", name, err)
			}
		}
	}
}

func TestWhatWeChatPayDoesNotTellIsNoNotice(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	closed := notices()["paid"]
	closed.Event = channel.EventClosed
	processing := notices()["refund succeeded"]
	processing.Refund = channel.RefundAnswer{State: channel.RefundProcessing}
	for _, notice := range []channel.Notice{closed, processing} {
		if _, err := g.sim.Notice(notice, noon); !errors.Is(err, simulate.ErrNoNotice) {
			t.Errorf("%s %s: %v, want %v", notice.Event, notice.Refund.State, err, simulate.ErrNoNotice)
		}
	}
}

func TestMerchantsWithOldSettingsDoNotKnowNewKeys(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	before, err := g.sim.Notice(notices()["paid"], noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.sim.Rotate(); err != nil {
		t.Fatal(err)
	}
	after, err := g.sim.Notice(notices()["paid"], noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.port.ReadNotice(after.Header, after.Body, noon); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("the new key by old settings: %v", err)
	}
	for name, message := range map[string]simulate.Message{"old": before, "new": after} {
		if _, err := g.merchant(t).ReadNotice(message.Header, message.Body, noon); err != nil {
			t.Errorf("the %s key by new settings: %v", name, err)
		}
	}
	// The merchant asks for answers by the key that it knows, and gets them.
	g.desk.refund.State, g.desk.refund.EndedAt = channel.RefundSucceeded, noon
	if _, err := g.port.Refund(t.Context(), order()); err != nil {
		t.Errorf("an answer to old settings: %v", err)
	}
}

func TestRefundsAreAnsweredAsTheDeskSays(t *testing.T) {
	t.Parallel()
	succeeded := channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: noon}
	for name, c := range map[string]struct {
		change func(*scripted)
		want   channel.RefundAnswer
		code   string // of the error
		status int
	}{
		"succeeded":  {func(d *scripted) { d.refund = simulate.Refund{State: channel.RefundSucceeded, EndedAt: noon} }, succeeded, "", 0},
		"processing": {func(d *scripted) { d.refund.State = channel.RefundProcessing }, channel.RefundAnswer{State: channel.RefundProcessing}, "", 0},
		"closed": {func(d *scripted) { d.refund = simulate.Refund{State: channel.RefundFailed, Reason: "CLOSED"} },
			channel.RefundAnswer{State: channel.RefundFailed, Reason: "CLOSED"}, "", 0},
		"failed otherwise": {func(d *scripted) { d.refund = simulate.Refund{State: channel.RefundFailed, Reason: "void card"} },
			channel.RefundAnswer{State: channel.RefundFailed, Reason: "ABNORMAL"}, "", 0},
		"unknown payment": {func(d *scripted) { d.err = simulate.ErrUnknownPayment }, channel.RefundAnswer{}, "RESOURCE_NOT_EXISTS", 404},
		"too much":        {func(d *scripted) { d.err = simulate.ErrTooMuch }, channel.RefundAnswer{}, "INVALID_REQUEST", 400},
		"number taken":    {func(d *scripted) { d.err = simulate.ErrNumberTaken }, channel.RefundAnswer{}, "INVALID_REQUEST", 400},
		"a full disk":     {func(d *scripted) { d.err = errors.New("no space left") }, channel.RefundAnswer{}, "SYSTEM_ERROR", 500},
		"a year and a day later": {func(d *scripted) { d.paidAt = noon.Add(-366 * 24 * time.Hour) }, channel.RefundAnswer{},
			"INVALID_REQUEST", 400},
	} {
		g := newGate(t)
		c.change(g.desk)
		answer, err := g.port.Refund(t.Context(), order())
		if c.code == "" {
			queried, queryErr := g.port.Query(t.Context(), order())
			if answer != c.want || err != nil || queried != c.want || queryErr != nil {
				t.Errorf("%s: %+v, %v, and queried %+v, %v; want %+v", name, answer, err, queried, queryErr, c.want)
			}
			continue
		}
		var refused *wechat.AnswerError
		if !errors.As(err, &refused) || refused.Code != c.code || refused.Status != c.status {
			t.Errorf("%s: %v, want %d %s", name, err, c.status, c.code)
		}
	}
}

func TestPaymentWithoutAChannelsNumberIsFoundByTheOrders(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.desk.refund.State, g.desk.refund.EndedAt = channel.RefundSucceeded, noon
	asked := order()
	asked.ChannelTxnID = ""
	if _, err := g.port.Refund(t.Context(), asked); err != nil {
		t.Error(err)
	}
}

func TestDroppedAnswerBreaksTheConnection(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.desk.drop = http.ErrAbortHandler
	var refused *wechat.AnswerError
	if _, err := g.port.Refund(t.Context(), order()); err == nil || errors.As(err, &refused) || g.desk.asked != 1 {
		t.Errorf("%v after %d refunds, want a broken connection after one", err, g.desk.asked)
	}
}

func TestWrongRequestsNeverReachTheDesk(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	late := g.merchant(t).WithClock(clock.Fixed(noon.Add(6 * time.Minute)))
	if _, err := late.Refund(t.Context(), order()); !answeredWith(err, 401, "SIGN_ERROR") {
		t.Errorf("a signature six minutes old: %v", err)
	}
	stranger, err := wechatsim.New(clock.Fixed(noon))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings, err := stranger.MerchantSettings(dir, g.server.URL+"/wechat")
	if err != nil {
		t.Fatal(err)
	}
	port, err := wechat.Load(dir, settings, g.server.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := port.WithClock(clock.Fixed(noon)).Refund(t.Context(), order()); !answeredWith(err, 401, "SIGN_ERROR") {
		t.Errorf("the key of another merchant: %v", err)
	}
	for name, change := range map[string]func(*tasks.RefundOrder){
		"another total":           func(o *tasks.RefundOrder) { o.Captured = money.FromFen(99_00) },
		"more than the total":     func(o *tasks.RefundOrder) { o.Amount = money.FromFen(100_01) },
		"nothing":                 func(o *tasks.RefundOrder) { o.Amount = money.Amount{} },
		"a number with a space":   func(o *tasks.RefundOrder) { o.Number = "rf 1" },
		"a number that is long":   func(o *tasks.RefundOrder) { o.Number = strings.Repeat("r", 65) },
		"a payment that is nones": func(o *tasks.RefundOrder) { o.ChannelTxnID = "4200002" },
	} {
		asked := order()
		change(&asked)
		var refused *wechat.AnswerError
		if _, err := g.port.Refund(t.Context(), asked); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range map[string]string{"no JSON": "{", "too long": strings.Repeat(" ", 2<<20)} {
		response, err := g.server.Client().Post(g.server.URL+"/wechat/v3/refund/domestic/refunds", "application/json", strings.NewReader(body))
		if err != nil {
			continue // it hung up
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode < 400 {
			t.Errorf("%s: %d, %v", name, response.StatusCode, err)
		}
		_ = response.Body.Close()
	}
	if g.desk.asked != 0 {
		t.Errorf("the desk was asked %d times", g.desk.asked)
	}
}

func answeredWith(err error, status int, code string) bool {
	var refused *wechat.AnswerError
	return errors.As(err, &refused) && refused.Status == status && refused.Code == code
}

func TestPrivateFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	dir := t.TempDir()
	if _, err := g.sim.MerchantSettings(dir, g.server.URL); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"apiclient_key.pem", "api_v3_key.txt"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, err := g.sim.MerchantSettings(filepath.Join(dir, "nowhere"), g.server.URL); err == nil {
		t.Error("settings were written to a directory that is not there")
	}
}
