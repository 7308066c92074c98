package unionpaysim_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/channel/unionpay/unionpaysim"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var (
	noon   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	paidAt = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
)

// simulated is made once: its keys are slow to find.
var simulated = sync.OnceValue(func() *unionpaysim.Channel { return must(unionpaysim.New(clock.Fixed(noon))) })

func must(c *unionpaysim.Channel, err error) *unionpaysim.Channel {
	if err != nil {
		panic(err)
	}
	return c
}

// connect serves a simulated UnionPay over the desk, and loads the merchant's side of it.
func connect(t *testing.T, sim *unionpaysim.Channel, d *channeltest.Desk) *unionpay.Channel {
	t.Helper()
	server := httptest.NewServer(sim.Handler(d))
	t.Cleanup(server.Close)
	return load(t, sim, server.URL)
}

func load(t *testing.T, sim *unionpaysim.Channel, baseURL string) *unionpay.Channel {
	t.Helper()
	dir := t.TempDir()
	settings, err := sim.MerchantSettings(dir, baseURL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := unionpay.Load(dir, settings, &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c.WithClock(clock.Fixed(noon))
}

func newDesk() *channeltest.Desk {
	return &channeltest.Desk{At: noon, End: channel.RefundAnswer{State: channel.RefundProcessing}, ChannelRefundID: "052603021959303028400",
		Paid: simulate.Payment{OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "952603021959303028398",
			Amount: money.FromFen(100_00), PaidAt: paidAt}}
}

func order(number string) tasks.RefundOrder {
	return tasks.RefundOrder{Number: number, RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceUnionPay,
		ChannelTxnID: "952603021959303028398", Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: paidAt}
}

func TestNoticesReadEqualToWhatWasSent(t *testing.T) {
	t.Parallel()
	sim := simulated()
	c := load(t, sim, "https://unionpay.invalid")
	paid := channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventPaid, MerchantID: unionpaysim.MerchantID,
		OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "952603021959303028398", Amount: money.FromFen(100_00),
		OccurredAt: paidAt}
	refund := paid
	refund.Event, refund.OutTradeNo, refund.RefundNumber = channel.EventRefund, "", "rf0123456789abcdef0123456789abcd"
	refund.Refund = channel.RefundAnswer{State: channel.RefundSucceeded}
	failed := refund
	failed.Refund = channel.RefundAnswer{State: channel.RefundFailed, Reason: "73 card has expired"}
	other := channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventOther, MerchantID: unionpaysim.MerchantID, OccurredAt: paidAt}
	for _, want := range []channel.Notice{paid, refund, failed, other} {
		for range 2 { // a redelivery
			message, err := sim.Notice(want, noon)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.ReadNotice(message.Header, message.Body, noon)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", want.Event, err, diff)
			}
		}
	}
	someFailure := failed
	someFailure.Refund.Reason = "no idea"
	message, err := sim.Notice(someFailure, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadNotice(message.Header, message.Body, noon); err != nil || got.Refund.State != channel.RefundFailed {
		t.Errorf("a failure for any reason: %+v, %v", got, err)
	}
	for _, notice := range []channel.Notice{{Event: channel.EventClosed}, {Event: channel.EventRefund,
		Refund: channel.RefundAnswer{State: channel.RefundProcessing}}} {
		if message, err := sim.Notice(notice, noon); !errors.Is(err, simulate.ErrNoNotice) {
			t.Errorf("%+v is sent as %s, %v", notice, message.Body, err)
		}
	}
	ours := paid
	ours.MerchantID = "777290058110049"
	if message, err = sim.Notice(ours, noon); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadNotice(message.Header, message.Body, noon); !errors.Is(err, channel.ErrNotOurs) {
		t.Errorf("for another merchant: %+v, %v", got, err)
	}
}

func TestRotatedCertificateVerifiesByOldAndNewSettings(t *testing.T) {
	t.Parallel()
	sim := must(unionpaysim.New(clock.Fixed(noon)))
	before := load(t, sim, "https://unionpay.invalid")
	notice := channel.Notice{Event: channel.EventPaid, OutTradeNo: "rc0123456789", ChannelTxnID: "95", Amount: money.FromFen(1),
		OccurredAt: paidAt}
	first, err := sim.Notice(notice, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Rotate(); err != nil {
		t.Fatal(err)
	}
	keys, err := sim.Keys()
	if err != nil {
		t.Fatal(err)
	}
	sim = must(unionpaysim.Restore(clock.Fixed(noon), keys)) // as after a restart
	after := load(t, sim, "https://unionpay.invalid")
	second, err := sim.Notice(notice, noon)
	if err != nil || bytes.Equal(first.Body, second.Body) {
		t.Fatalf("the notice is signed as before: %v", err)
	}
	for name, c := range map[string]*unionpay.Channel{"old": before, "new": after} {
		for _, message := range []simulate.Message{first, second} {
			if _, err := c.ReadNotice(message.Header, message.Body, noon); err != nil {
				t.Errorf("%s settings: %v", name, err)
			}
		}
	}
	stranger := load(t, simulated(), "https://unionpay.invalid")
	if got, err := stranger.ReadNotice(second.Header, second.Body, noon); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("another authority: %+v, %v", got, err)
	}
}

func TestRefundIsTakenAndItsEndIsFound(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]channel.RefundAnswer{
		"succeeded":  {State: channel.RefundSucceeded},
		"processing": {State: channel.RefundProcessing},
		"failed":     {State: channel.RefundFailed, Reason: "61 card number is invalid"},
		"failed too": {State: channel.RefundFailed, Reason: "63 state of the card forbids it"},
	} {
		d := newDesk()
		d.End = end
		c := connect(t, simulated(), d)
		if _, err := c.Query(t.Context(), order("rf01234567")); !errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("%s: a query before the refund: %v", name, err)
		}
		answer, err := c.Refund(t.Context(), order("rf01234567"))
		if want := (channel.RefundAnswer{State: channel.RefundProcessing}); answer != want || err != nil {
			t.Errorf("%s: taken with %+v, %v", name, answer, err)
		}
		for range 2 {
			if answer, err = c.Query(t.Context(), order("rf01234567")); answer != end || err != nil {
				t.Errorf("%s: found as %+v, %v", name, answer, err)
			}
		}
		if refunds := d.Taken(); len(refunds) != 1 || refunds["rf01234567"].Amount != money.FromFen(30_00) {
			t.Errorf("%s: the desk has %+v", name, refunds)
		}
	}
}

func TestRepeatedRefundIsRefusedAndFoundByAQuery(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.End.State = channel.RefundSucceeded
	c := connect(t, simulated(), d)
	for attempt := range 2 {
		_, err := c.Refund(t.Context(), order("rf01234567"))
		var refusal *unionpay.AnswerError
		if attempt == 1 && (!errors.As(err, &refusal) || refusal.Code != "12") || attempt == 0 && err != nil {
			t.Errorf("attempt %d: %v", attempt, err)
		}
	}
	answer, err := channel.Pursue(t.Context(), c, order("rf01234567"), true)
	if answer.State != channel.RefundSucceeded || err != nil || len(d.Taken()) != 1 {
		t.Errorf("%+v, %v, %+v", answer, err, d.Taken())
	}
	later := order("rf01234567")
	later.OccurredAt = later.OccurredAt.Add(time.Second)
	if _, err := c.Query(t.Context(), later); !errors.Is(err, channel.ErrUnknownNumber) {
		t.Errorf("a query with another time: %v", err)
	}
}

func TestDroppedAnswerLeavesTheRefundTaken(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.End.State, d.Drops = channel.RefundSucceeded, true
	c := connect(t, simulated(), d)
	if answer, err := c.Refund(t.Context(), order("rf01234567")); err == nil {
		t.Errorf("the answer came: %+v", answer)
	}
	answer, err := channel.Pursue(t.Context(), c, order("rf01234567"), true)
	if answer.State != channel.RefundSucceeded || err != nil {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestRefusalsOfTheDeskBecomeCodes(t *testing.T) {
	t.Parallel()
	for want, fails := range map[string]error{"36": simulate.ErrTooMuch, "12": simulate.ErrNumberTaken, "35": simulate.ErrUnknownPayment,
		"02": errors.New("out of order")} {
		d := newDesk()
		d.Fails = fails
		_, err := connect(t, simulated(), d).Refund(t.Context(), order("rf01234567"))
		var refusal *unionpay.AnswerError
		if !errors.As(err, &refusal) || refusal.Code != want || refusal.Message == "" {
			t.Errorf("%v: %v", fails, err)
		}
	}
}

func TestRequestsThatAreNotTheMerchantsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk()
	sim := simulated()
	server := httptest.NewServer(sim.Handler(d))
	t.Cleanup(server.Close)
	stranger := load(t, must(unionpaysim.New(clock.Fixed(noon))), server.URL) // with keys of another UnionPay
	if answer, err := stranger.Refund(t.Context(), order("rf01234567")); err == nil {
		t.Errorf("a stranger's refund: %+v", answer)
	}
	c := load(t, sim, server.URL)
	for name, number := range map[string]string{"a short number": "rf01", "a number with a dash": "rf-01234567"} {
		var refusal *unionpay.AnswerError
		if _, err := c.Refund(t.Context(), order(number)); !errors.As(err, &refusal) || refusal.Code != "10" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, want := range map[string]string{"": "respCode=11", "orderId=1": "respCode=11", "a=1&a=2": "respCode=10", "a=": "respCode=10",
		"%": "respCode=10"} {
		response, err := http.Post(server.URL+"/gateway/api/backTransReq.do", "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%q is answered with %s, %v", body, text, err)
		}
	}
	if len(d.Taken()) > 0 {
		t.Errorf("the desk has %+v", d.Taken())
	}
}

func TestOnly200EndsTheDeliveries(t *testing.T) {
	t.Parallel()
	sim := simulated()
	c := load(t, sim, "https://unionpay.invalid")
	if reply := c.Reply(nil, noon); !sim.Acknowledged(reply.Status, reply.Body) {
		t.Errorf("%+v does not end the deliveries", reply)
	}
	for _, problem := range []error{channel.ErrNotGenuine, channel.ErrMalformed, channel.ErrNotOurs, errors.New("x")} {
		if reply := c.Reply(problem, noon); sim.Acknowledged(reply.Status, reply.Body) {
			t.Errorf("%+v ends the deliveries", reply)
		}
	}
	for _, status := range []int{201, 204, 302, 404, 500} {
		if sim.Acknowledged(status, []byte("ok")) {
			t.Errorf("%d ends the deliveries", status)
		}
	}
	want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}
	if diff := cmp.Diff(want, sim.Redeliveries()); diff != "" || sim.AnswerWithin() != 10*time.Second || sim.Source() != tasks.SourceUnionPay {
		t.Errorf("redeliveries (-want +got):\n%s", diff)
	}
}
