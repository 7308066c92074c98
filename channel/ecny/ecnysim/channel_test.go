package ecnysim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
	"github.com/settled-dev/settled/channel/ecny/ecnysim"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func payment() simulate.Payment {
	return simulate.Payment{OutTradeNo: "rc1", ChannelTxnID: "003226030219592050185300", Amount: money.FromFen(100_00), PaidAt: noon}
}

// scene is a merchant and its bank, over HTTP.
type scene struct {
	desk  *channeltest.Desk
	bank  *ecnysim.Channel
	clock *clock.Manual
	url   string
}

func setup(t *testing.T) *scene {
	t.Helper()
	s := &scene{clock: clock.NewManual(noon), desk: &channeltest.Desk{Paid: payment(), At: noon,
		End: channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: noon}}}
	var err error
	if s.bank, err = ecnysim.New(s.clock); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.bank.Handler(s.desk))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// merchant loads what the bank gives out now, changed by change.
func (s *scene) merchant(t *testing.T, change func(map[string]any)) *ecny.Channel {
	t.Helper()
	dir := t.TempDir()
	settings, err := s.bank.MerchantSettings(dir, s.url)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		values := map[string]any{}
		if err := json.Unmarshal(settings, &values); err != nil {
			t.Fatal(err)
		}
		change(values)
		if settings, err = json.Marshal(values); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ecny.Load(dir, settings, &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c.WithClock(s.clock)
}

func order(number string) tasks.RefundOrder {
	return tasks.RefundOrder{Number: number, OrderID: "rc1", Channel: tasks.SourceECNY, ChannelTxnID: payment().ChannelTxnID,
		Captured: money.FromFen(100_00), Amount: money.FromFen(30_00), OccurredAt: noon}
}

func TestMerchantReadsEveryNoticeAndTheBankItsReplies(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.merchant(t, nil)
	for name, told := range map[string]channel.Notice{
		"payment": {Channel: tasks.SourceECNY, Event: channel.EventPaid, MerchantID: ecnysim.MerchantID, OutTradeNo: "rc1", ChannelTxnID: "t1",
			Amount: money.FromFen(100_00), OccurredAt: noon},
		"payment of no time": {Channel: tasks.SourceECNY, Event: channel.EventPaid, MerchantID: ecnysim.MerchantID, OutTradeNo: "rc1",
			ChannelTxnID: "t1", Amount: money.FromFen(100_00), OccurredAt: noon, TimeUnknown: true},
		"refund": {Channel: tasks.SourceECNY, Event: channel.EventRefund, MerchantID: ecnysim.MerchantID, RefundNumber: "rf1",
			Amount: money.FromFen(30_00), OccurredAt: noon, Refund: channel.RefundAnswer{State: channel.RefundSucceeded}},
		"other": {Channel: tasks.SourceECNY, Event: channel.EventOther, MerchantID: ecnysim.MerchantID, OutTradeNo: "rc2", ChannelTxnID: "t2",
			OccurredAt: noon},
	} {
		message, err := s.bank.Notice(told, noon)
		if err != nil {
			t.Fatal(err)
		}
		if kind := message.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
			t.Errorf("%s: content type %s", name, kind)
		}
		got, err := c.ReadNotice(message.Header, message.Body, noon)
		if diff := cmp.Diff(told, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for problem, want := range map[error]bool{nil: true, channel.ErrNotGenuine: false, channel.ErrMalformed: false, channel.ErrStale: false,
		channel.ErrNotOurs: false, errors.New("full"): false} {
		if reply := c.Reply(problem, noon); s.bank.Acknowledged(reply.Status, reply.Body) != want {
			t.Errorf("a reply to %v ends the deliveries: %v", problem, !want)
		}
	}
}

func TestRepliesThatTheMerchantHasNotSignedEndNoDelivery(t *testing.T) {
	t.Parallel()
	s := setup(t)
	reply := s.merchant(t, nil).Reply(nil, noon)
	stranger := setup(t)
	for name, body := range map[string]string{"empty": "", "success": "success", "not signed": `{"returnCode":"SUCCESS","respCode":"SUCCESS"}`,
		"another merchant's": string(stranger.merchant(t, nil).Reply(nil, noon).Body),
		"changed":            strings.Replace(string(reply.Body), `"version"`, `"respMsg":"x","version"`, 1)} {
		if s.bank.Acknowledged(200, []byte(body)) {
			t.Errorf("%s: it ends the deliveries", name)
		}
	}
	if s.bank.Acknowledged(503, reply.Body) || !s.bank.Acknowledged(200, reply.Body) {
		t.Error("the status is not read")
	}
}

func TestBankTellsOfNothingElse(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, told := range []channel.Notice{{}, {Event: channel.EventClosed},
		{Event: channel.EventRefund, Refund: channel.RefundAnswer{State: channel.RefundFailed}},
		{Event: channel.EventRefund, Refund: channel.RefundAnswer{State: channel.RefundProcessing}}} {
		if message, err := s.bank.Notice(told, noon); !errors.Is(err, simulate.ErrNoNotice) {
			t.Errorf("%+v is told: %s, %v", told, message.Body, err)
		}
	}
}

func TestKeysRotateWithoutALostNotice(t *testing.T) {
	t.Parallel()
	s := setup(t)
	before := s.merchant(t, nil)
	tell := func() simulate.Message {
		message, err := s.bank.Notice(channel.Notice{Event: channel.EventPaid, OutTradeNo: "rc1", ChannelTxnID: "t1",
			Amount: money.FromFen(1), OccurredAt: noon}, noon)
		if err != nil {
			t.Fatal(err)
		}
		return message
	}
	onItsWay := tell()
	if err := s.bank.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := s.merchant(t, nil)
	fresh := tell()
	for name, try := range map[string]struct {
		merchant *ecny.Channel
		message  simulate.Message
		want     error
	}{
		"old message, old settings": {before, onItsWay, nil}, "new message, old settings": {before, fresh, channel.ErrNotGenuine},
		"old message, new settings": {after, onItsWay, nil}, "new message, new settings": {after, fresh, nil},
	} {
		if _, err := try.merchant.ReadNotice(try.message.Header, try.message.Body, noon); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

func TestRefundIsAskedForQueriedAndRepeated(t *testing.T) {
	t.Parallel()
	for state, want := range map[channel.RefundState]channel.RefundAnswer{
		channel.RefundSucceeded:  {State: channel.RefundSucceeded},
		channel.RefundProcessing: {State: channel.RefundProcessing},
		channel.RefundFailed:     {State: channel.RefundFailed, Reason: "F"},
	} {
		s := setup(t)
		s.desk.End = channel.RefundAnswer{State: state, Reason: "closed", EndedAt: noon}
		c := s.merchant(t, nil)
		if _, err := c.Query(t.Context(), order("rf1")); !errors.Is(err, channel.ErrUnknownNumber) {
			t.Errorf("query before: %v", err)
		}
		byOrder := order("rf1")
		byOrder.ChannelTxnID = ""
		for i, asked := range []tasks.RefundOrder{order("rf1"), byOrder, order("rf1")} {
			if answer, err := c.Refund(t.Context(), asked); answer != want || err != nil {
				t.Errorf("%s, time %d: %+v, %v, want %+v", state, i, answer, err, want)
			}
		}
		if answer, err := c.Query(t.Context(), order("rf1")); answer != want || err != nil {
			t.Errorf("%s, query: %+v, %v, want %+v", state, answer, err, want)
		}
		if len(s.desk.Taken()) != 1 {
			t.Errorf("%d refunds", len(s.desk.Taken()))
		}
	}
}

func TestRefundWhoseAnswerIsLostIsFoundByItsNumber(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.merchant(t, nil)
	s.desk.Drops = true
	if answer, err := channel.Pursue(t.Context(), c, order("rf1"), false); err == nil {
		t.Fatalf("the answer was not lost: %+v", answer)
	}
	if answer, err := channel.Pursue(t.Context(), c, order("rf1"), true); err != nil || answer.State != channel.RefundSucceeded {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestRefusalsOfTheBankAreNoAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*scene, *tasks.RefundOrder)
		code   string
	}{
		"no payment":         {func(s *scene, _ *tasks.RefundOrder) { s.desk.Fails = simulate.ErrUnknownPayment }, "OCMBORDERID_NOT_EXIST"},
		"too much":           {func(s *scene, _ *tasks.RefundOrder) { s.desk.Fails = simulate.ErrTooMuch }, "NOT_ENOUGH"},
		"number taken":       {func(s *scene, _ *tasks.RefundOrder) { s.desk.Fails = simulate.ErrNumberTaken }, "ORDERID_DUPLICATION"},
		"trouble":            {func(s *scene, _ *tasks.RefundOrder) { s.desk.Fails = errors.New("trouble") }, "SYSTERM_ERROR"},
		"another payment":    {func(_ *scene, o *tasks.RefundOrder) { o.ChannelTxnID = "42" }, "OCMBORDERID_NOT_EXIST"},
		"another captured":   {func(_ *scene, o *tasks.RefundOrder) { o.Captured = money.FromFen(99_00) }, "TXNAMT_ERROR"},
		"a long number":      {func(_ *scene, o *tasks.RefundOrder) { o.Number = strings.Repeat("1", 33) }, "ORDERID_NOT_LAWFUL"},
		"the merchant's day": {func(s *scene, _ *tasks.RefundOrder) { s.clock.Advance(time.Hour) }, ""},
	} {
		s := setup(t)
		merchant := s.merchant(t, nil)
		asked := order("rf1")
		c.change(s, &asked)
		answer, err := merchant.Refund(t.Context(), asked)
		var refusal *ecny.AnswerError
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.As(err, &refusal) || refusal.Code != c.code || answer != (channel.RefundAnswer{}) {
			t.Errorf("%s: %+v, %v, want %s", name, answer, err, c.code)
		}
	}
}

func TestOldPaymentsAreNotRefundedAndOldRefundsNotFound(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.merchant(t, nil)
	if _, err := c.Refund(t.Context(), order("rf1")); err != nil {
		t.Fatal(err)
	}
	s.desk.At = noon.AddDate(0, 0, 16)
	s.clock.Advance(16 * 24 * time.Hour)
	if answer, err := c.Query(t.Context(), order("rf1")); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
		t.Errorf("a refund of 16 days ago: %+v, %v", answer, err)
	}
	asked := channel.PaymentOrder{OutTradeNo: "rc1", OpenedAt: noon}
	if notice, err := c.QueryPayment(t.Context(), asked); err == nil || errors.Is(err, channel.ErrUnknownNumber) {
		t.Errorf("a payment of 16 days ago: %+v, %v", notice, err)
	}
	s.desk.At = noon.AddDate(1, 0, 1)
	answer, err := c.Refund(t.Context(), order("rf2"))
	if want := (channel.RefundAnswer{State: channel.RefundFailed, Reason: "TRADE_OVERDUE"}); answer != want || err != nil {
		t.Errorf("a payment of last year: %+v, %v", answer, err)
	}
}

func TestRequestsThatAreNotTheMerchantsAreRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for name, change := range map[string]func(map[string]any){
		"another app":      func(v map[string]any) { v["app_id"] = "x" },
		"another secret":   func(v map[string]any) { delete(v, "app_secret_file"); v["app_secret"] = "x" },
		"another merchant": func(v map[string]any) { v["mer_id"] = "x" },
		"another cashier":  func(v map[string]any) { v["user_id"] = "x" },
	} {
		answer, err := s.merchant(t, change).Refund(t.Context(), order("rf1"))
		var refusal *ecny.AnswerError
		if !errors.As(err, &refusal) || refusal.Code == "" {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
	early := s.merchant(t, nil).WithClock(clock.Fixed(noon.Add(-time.Hour)))
	if answer, err := early.Refund(t.Context(), order("rf1")); err == nil {
		t.Errorf("an old request: %+v", answer)
	}
	for _, body := range []string{"", "[]", `{"biz_content":"{}","sign":"x"}`} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/polypay/v1.0/mchorders/refund", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(response.Body)
		if closeErr := response.Body.Close(); err != nil || closeErr != nil || !bytes.Contains(said, []byte(`"returnCode":"FAIL"`)) {
			t.Errorf("%s is answered %s, %v, %v", body, said, err, closeErr)
		}
	}
	if len(s.desk.Taken()) != 0 {
		t.Errorf("%d refunds", len(s.desk.Taken()))
	}
}

func TestScheduleIsThatOfTheDocument(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var total time.Duration
	for _, pause := range s.bank.Redeliveries() {
		total += pause
	}
	if total != 24*time.Hour+4*time.Minute || s.bank.AnswerWithin() <= 0 || s.bank.Source() != tasks.SourceECNY {
		t.Errorf("%v in all, %v, %v", total, s.bank.AnswerWithin(), s.bank.Source())
	}
}

func TestRestoredBankHasItsKeys(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.bank.Rotate(); err != nil {
		t.Fatal(err)
	}
	kept, err := s.bank.Keys()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := ecnysim.Restore(s.clock, kept)
	if err != nil {
		t.Fatal(err)
	}
	c := s.merchant(t, nil)
	message, err := restored.Notice(channel.Notice{Event: channel.EventPaid, OutTradeNo: "rc1", ChannelTxnID: "t1", Amount: money.FromFen(1),
		OccurredAt: noon}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadNotice(message.Header, message.Body, noon); err != nil {
		t.Errorf("a notice of the restored bank: %v", err)
	}
	if reply := c.Reply(nil, noon); !restored.Acknowledged(reply.Status, reply.Body) {
		t.Error("the restored bank does not know its merchant")
	}
	for _, damaged := range []string{"", "{}", string(kept[:len(kept)/2]), `{"merchant_key":"AA==","app_secret":"x","keys":["AA=="]}`,
		strings.Replace(string(kept), `"keys":["`, `"keys":["AA==","`, 1)} {
		if _, err := ecnysim.Restore(s.clock, []byte(damaged)); err == nil || strings.Contains(err.Error(), "AA==") {
			t.Errorf("%d bytes of keys: %v", len(damaged), err)
		}
	}
}
