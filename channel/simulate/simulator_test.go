package simulate_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

func TestOrderIsPaidOnceUnlessItIsToBePaidAgain(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	first := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")})
	if first.Replayed || first.ChannelTxnID == "" || first.Amount != yuan(t, "100.00") || !first.PaidAt.Equal(noon) {
		t.Errorf("%+v", first)
	}
	again := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")})
	if !again.Replayed || again.ChannelTxnID != first.ChannelTxnID {
		t.Errorf("asked again: %+v, want the first payment", again)
	}
	if _, err := s.Pay(simulate.Order{Channel: tasks.SourceWeChat, OutTradeNo: "rc1", Amount: yuan(t, "1.00")}); !errors.Is(err, simulate.ErrPaid) {
		t.Errorf("for another amount: %v, want %v", err, simulate.ErrPaid)
	}
	second := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00"), Again: true})
	if second.Replayed || second.ChannelTxnID == first.ChannelTxnID {
		t.Errorf("paid again: %+v", second)
	}
	if found, ok := s.desk.Payment("", "rc1"); !ok || found.ChannelTxnID != first.ChannelTxnID {
		t.Errorf("by the order's number: %+v", found)
	}
	if found, ok := s.desk.Payment(second.ChannelTxnID, "rc1"); !ok || found.ChannelTxnID != second.ChannelTxnID {
		t.Errorf("by the channel's number: %+v", found)
	}
	if _, ok := s.desk.Payment("", "rc2"); ok {
		t.Error("an order that nobody paid is paid")
	}
}

func TestWrongOrdersAreRefusedByName(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	for field, order := range map[string]simulate.Order{
		"channel":      {Channel: tasks.SourceAlipay, OutTradeNo: "rc1", Amount: yuan(t, "1.00")},
		"out_trade_no": {Channel: tasks.SourceWeChat, OutTradeNo: "rc 1", Amount: yuan(t, "1.00")},
		"amount":       {Channel: tasks.SourceWeChat, OutTradeNo: "rc1"},
		"notify_url":   {Channel: tasks.SourceWeChat, OutTradeNo: "rc1", Amount: yuan(t, "1.00"), NotifyURL: "nowhere"},
	} {
		var bad *tasks.FieldError
		if _, err := s.Pay(order); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if len(s.Record()) != 0 {
		t.Errorf("something was paid: %+v", s.Record())
	}
}

func TestNoticeIsSentUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.TimeScale = 60 })
	receipt := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")})
	want := channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventPaid, OutTradeNo: "rc1", ChannelTxnID: receipt.ChannelTxnID,
		Amount: yuan(t, "100.00"), OccurredAt: noon}
	for _, pause := range []time.Duration{time.Second, time.Minute} { // a minute and an hour, in a sixtieth of the time
		h := s.merchant.next(t)
		if diff := cmp.Diff(want, h.Notice); diff != "" || h.path != "/notices/wechat" {
			t.Errorf("%s, notice (-want +got):\n%s", h.path, diff)
		}
		h.answer <- 500
		if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(pause - 1)
		if err := s.clock.WaitForTimers(t.Context(), 1); err != nil { // it still waits
			t.Fatal(err)
		}
		s.clock.Advance(1)
	}
	s.merchant.next(t).answer <- 200
	if e := s.entry(t, "rc1", simulate.NoticeAcknowledged); e.Deliveries != 3 {
		t.Errorf("%+v, want 3 deliveries", e)
	}
}

func TestNoticeIsGivenUpAfterTheLastPause(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")})
	for _, pause := range []time.Duration{time.Minute, time.Hour, 0} {
		s.merchant.next(t).answer <- 503
		if pause > 0 {
			if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			s.clock.Advance(pause)
		}
	}
	if e := s.entry(t, "rc1", simulate.NoticeGivenUp); e.Deliveries != 3 {
		t.Errorf("%+v, want 3 deliveries", e)
	}
}

func TestPaymentMayBeToldElsewhereOrNowhere(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "1.00"), NotifyURL: "none"})
	s.entry(t, "o1", simulate.NoticeNone)
	s.pay(t, simulate.Order{OutTradeNo: "o2", Amount: yuan(t, "1.00"), NotifyURL: s.merchant.URL + "/shop"})
	if h := s.merchant.next(t); h.path != "/shop" || h.OutTradeNo != "o2" {
		t.Errorf("%+v", h)
	}
}

// A crash keeps what was answered, and nothing of what was not.
func TestPaymentsAndRefundsSurviveACrash(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.SlowRefunds = 1000 })
	acknowledged := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")})
	s.merchant.next(t).answer <- 200
	s.entry(t, "rc1", simulate.NoticeAcknowledged)
	untold := s.pay(t, simulate.Order{OutTradeNo: "rc2", Amount: yuan(t, "50.00")})
	refunded, _, err := s.desk.Refund("rf1", acknowledged.ChannelTxnID, "", yuan(t, "30.00"))
	if err != nil {
		t.Fatal(err)
	}
	dir := s.crashed(t)
	journal, err := os.OpenFile(journalOf(dir), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.WriteString(`{"payment":{"channel":"wechat","out_trade_no":"rc3","chan`); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	for start := range 2 { // the second one reads a journal that was cut and written on
		other := openStreet(t, newMerchant(t), clock.NewManual(noon.Add(time.Second)), dir, nil)
		if again := other.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00")}); again.ChannelTxnID != acknowledged.ChannelTxnID {
			t.Errorf("start %d: paid again: %+v", start, again)
		}
		told, _, err := other.desk.Refund("rf1", acknowledged.ChannelTxnID, "", yuan(t, "30.00"))
		if diff := cmp.Diff(refunded, told); diff != "" || err != nil {
			t.Errorf("start %d: %v, refund (-before +after):\n%s", start, err, diff)
		}
		h := other.merchant.next(t)
		if h.ChannelTxnID != untold.ChannelTxnID {
			t.Errorf("start %d: notice %+v, want that of rc2", start, h)
		}
		if other.entry(t, "rc1", simulate.NoticeAcknowledged).Deliveries != 0 {
			t.Errorf("start %d: the acknowledged notice was sent again", start)
		}
		if got := len(other.Record()); got != 3 {
			t.Errorf("start %d: the record has %d entries, want 3", start, got)
		}
		other.stop()
	}
}

func TestDamagedJournalIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON":                      "{\"payment\":\n{}\n",
		"a refund of nothing":          `{"refund":{"channel":"wechat","number":"rf1","channel_txn_id":"1","amount":"1.00"}}` + "\n",
		"an end of no order":           `{"closed":{"channel":"wechat","out_trade_no":"rc1"}}` + "\n",
		"a revision of nothing":        `{"revised":{"channel":"wechat","refund_number":"rf1"}}` + "\n",
		"news of nothing acknowledged": `{"acknowledged":{"channel":"wechat","channel_txn_id":"1"}}` + "\n",
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "simulator"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(journalOf(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := simulate.Open(simulate.Config{Dir: dir, BaseURL: "http://a.invalid", NotifyURL: "http://b.invalid",
			Kinds: []simulate.Kind{(&plain{}).kind()}})
		if err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v, want the line named", name, err)
		}
	}
}

func TestDirectoryIsOneSimulators(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	config := simulate.Config{Dir: s.dir, BaseURL: "http://a.invalid", NotifyURL: "http://b.invalid", Kinds: []simulate.Kind{(&plain{}).kind()}}
	if _, err := simulate.Open(config); err == nil || !strings.Contains(err.Error(), "another simulator") {
		t.Errorf("a second one: %v", err)
	}
	s.stop()
	other, err := simulate.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongConfigurationsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*simulate.Config){
		"base URL":     func(c *simulate.Config) { c.BaseURL = "127.0.0.1:80" },
		"notify URL":   func(c *simulate.Config) { c.NotifyURL = "" },
		"time scale":   func(c *simulate.Config) { c.TimeScale = -1 },
		"lost_answers": func(c *simulate.Config) { c.Faults.LostAnswers = 1001 },
	} {
		config := simulate.Config{Dir: t.TempDir(), BaseURL: "http://a.invalid", NotifyURL: "http://b.invalid"}
		change(&config)
		var bad *tasks.FieldError
		if _, err := simulate.Open(config); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Payers pay at the same time, and share a sync of the disk.
func TestPaymentsAtTheSameTimeAreAllKept(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	const payers, orders = 8, 20
	ids := make([][]string, payers)
	var paying sync.WaitGroup
	for i := range ids {
		paying.Go(func() {
			for n := range orders {
				receipt, err := s.Pay(simulate.Order{Channel: tasks.SourceWeChat, OutTradeNo: "o" + string(rune('a'+n)), Amount: yuan(t, "1.00"),
					NotifyURL: "none"})
				if err != nil {
					t.Error(err)
				}
				ids[i] = append(ids[i], receipt.ChannelTxnID)
			}
		})
	}
	paying.Wait()
	other := openStreet(t, s.merchant, s.clock, s.crashed(t), nil)
	var kept []string
	for _, e := range other.Record() {
		kept = append(kept, e.ChannelTxnID)
	}
	slices.Sort(kept)
	for i := range ids {
		slices.Sort(ids[i])
		if diff := cmp.Diff(kept, ids[i]); diff != "" {
			t.Errorf("payer %d was told of other payments (-kept +told):\n%s", i, diff)
		}
	}
}

func TestKeysOutliveTheProcessAndRotate(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	settings := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(s.dir, "wechat.json")); err != nil || string(got) != want {
			t.Errorf("settings %s, %v; want %s", got, err, want)
		}
	}
	settings(`{"keys":1,"base_url":"http://simulator.invalid/wechat"}`)
	if err := s.Rotate(tasks.SourceWeChat); err != nil {
		t.Fatal(err)
	}
	settings(`{"keys":2,"base_url":"http://simulator.invalid/wechat"}`)
	s.stop()
	openStreet(t, s.merchant, s.clock, s.dir, func(c *simulate.Config) { c.BaseURL = "http://elsewhere.invalid/" })
	settings(`{"keys":2,"base_url":"http://elsewhere.invalid/wechat"}`)
	var bad *tasks.FieldError
	if err := s.Rotate(tasks.SourceAlipay); !errors.As(err, &bad) {
		t.Errorf("a channel that is not simulated: %v", err)
	}
}
