package simulate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
)

func TestControlAnswersWithWhatIsAllowed(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // part of the answer
	}{
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc1","amount":"100.00","notify_url":"none"}`, 201, `"channel_txn_id":"`},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc1","amount":"100.00"}`, 200, `"replayed":true`},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc1","amount":"1.00"}`, 409, "order is paid"},
		{"POST", "/pay", `{"channel":"visa","out_trade_no":"rc1","amount":"1.00"}`, 422, "channel is not simulated here; allowed: wechat"},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc2","amount":1}`, 422, "body cannot be read"},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc2","amount":"1.00","tip":"1"}`, 422, "tip"},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc2","amount":"1.00"}{}`, 422, "more after the object"},
		{"POST", "/pay", strings.Repeat(" ", 100_000), 422, "too large"},
		{"GET", "/pay", "", 405, ""},
		{"POST", "/order", `{"channel":"wechat","out_trade_no":"rc9","amount":"1.00","ordered_at":"2026-03-02T11:00:00Z"}`, 204, ""},
		{"POST", "/order", `{"channel":"wechat","out_trade_no":"rc9","amount":"2.00"}`, 409, "opened before"},
		{"POST", "/order", `{"channel":"wechat","out_trade_no":"rc 9","amount":"2.00"}`, 422, "out_trade_no"},
		{"POST", "/close", `{"channel":"wechat","out_trade_no":"rc9"}`, 204, ""},
		{"POST", "/close", `{"channel":"wechat","out_trade_no":"rc1"}`, 409, "order is paid"},
		{"POST", "/close", `{"channel":"wechat","out_trade_no":"rc8"}`, 404, "no such order"},
		{"POST", "/close", `[]`, 422, "body cannot be read"},
		{"POST", "/pay", `{"channel":"wechat","out_trade_no":"rc9","amount":"1.00"}`, 409, "order is closed"},
		{"GET", "/record", "", 200, `"out_trade_no":"rc1"`},
		{"GET", "/faults", "", 200, `"duplicates":0`},
		{"POST", "/faults", `{"duplicates":7}`, 200, `"duplicates":7`},
		{"POST", "/faults", `{"delays":8}`, 200, `"duplicates":7`},
		{"POST", "/faults", `{"delays":1001}`, 422, "delays is 1001; allowed: 0 to 1000"},
		{"POST", "/faults", `{"delay":1}`, 422, "delay"},
		{"GET", "/faults", "", 200, `"delays":8`},
		{"POST", "/faults", `{"lost":1,"hanging_answers":2,"revised_refunds":3}`, 200, `"revised_refunds":3`},
		{"POST", "/revise", `{"channel":"wechat","refund_number":"rf1"}`, 422, "refund_number is of no refund"},
		{"POST", "/revise", `{"channel":"wechat","number":"rf1"}`, 422, "number"},
		{"POST", "/rotate/wechat", "", 204, ""},
		{"POST", "/rotate/visa", "", 422, "channel is not simulated here"},
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/wechat/anything", "", 404, ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.Body.Close() != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s %.80s: %d %s; want %d and %q", c.method, c.path, c.body, response.StatusCode, body, c.status, c.want)
		}
	}
	if s.plain.count() != 2 {
		t.Errorf("the channel has %d keys, want 2", s.plain.count())
	}
}

func TestAnswerHangsUntilTheMerchantGivesUpOrForHalfAMinute(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *street, giveUp func()){
		"gives up":      func(_ *street, giveUp func()) { giveUp() },
		"half a minute": func(s *street, _ func()) { s.clock.Advance(30 * time.Second) },
	} {
		s := newStreet(t, nil)
		server := httptest.NewServer(s.Handler())
		t.Cleanup(server.Close) // waits for what is under way
		ctx, giveUp := context.WithCancel(t.Context())
		asked := make(chan error, 1)
		go func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/wechat/hang", nil)
			if err == nil {
				_, err = server.Client().Do(request) //nolint:bodyclose // there is none
			}
			asked <- err
		}()
		if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-asked:
			t.Fatalf("%s: ended at once with %v", name, err)
		default:
		}
		end(s, giveUp)
		if err := <-asked; err == nil || errors.Is(err, context.Canceled) != (name == "gives up") {
			t.Errorf("%s: %v", name, err)
		}
		giveUp()
	}
}

func TestRecordIsAnObjectALine(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	for _, order := range []string{"o1", "o2"} {
		s.pay(t, simulate.Order{OutTradeNo: order, Amount: yuan(t, "1.00"), NotifyURL: "none"})
	}
	if _, _, err := s.desk.Refund("rf1", "", "o1", yuan(t, "0.50")); err != nil {
		t.Fatal(err)
	}
	s.merchant.next(t).answer <- 200
	s.entry(t, "rf1", simulate.NoticeAcknowledged)
	response, err := server.Client().Get(server.URL + "/record")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	var read []simulate.Entry
	for decoder.More() {
		var e simulate.Entry
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		read = append(read, e)
	}
	want := s.Record()
	if len(read) != 3 || len(want) != 3 {
		t.Fatalf("%d entries were read of %d", len(read), len(want))
	}
	for i := range read {
		if read[i] != want[i] {
			t.Errorf("entry %d: %+v, want %+v", i, read[i], want[i])
		}
	}
}
