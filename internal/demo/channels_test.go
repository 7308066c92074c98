package demo

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// kinds are every channel, with keys that are made once: they are slow to find.
var kinds = sync.OnceValues(func() ([]simulate.Kind, error) {
	made := dialects.All()
	for i, kind := range made {
		dialect, err := kind.New(clock.System)
		if err != nil {
			return nil, err
		}
		keys, err := dialect.Keys()
		if err != nil {
			return nil, err
		}
		made[i].New = func(clock clock.Clock) (simulate.KeyedDialect, error) { return kind.Restore(clock, keys) }
	}
	return made, nil
})

// startChannels serves an API and simulated channels until the test ends. What they accept is rung for through bell; nil: nobody rings.
func startChannels(t *testing.T, db *pgtest.Database, bell *tasks.Doorbell) *Channels {
	t.Helper()
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	api, channels := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	address := func(server *httptest.Server) string {
		return "http://" + server.Listener.Addr().(*net.TCPAddr).String()
	}
	dir := t.TempDir()
	s, err := simulate.Open(simulate.Config{Dir: dir, BaseURL: address(channels), NotifyURL: address(api) + "/v1/notices", Kinds: all,
		TimeScale: ChannelTimeScale, Faults: ChannelFaults, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client, err := tasks.NewClient(t.Context(), db.Pool, bell, tasks.ClientConfig{Producer: "api"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	orders := recharge.NewOrders(db.Pool, client.Books(), clock.System)
	notices := notice.NewHandler(notice.Config{Ports: opened, Pool: db.Pool, Recharges: orders, Client: client, Clock: clock.System,
		Logger: slog.New(slog.DiscardHandler)})
	api.Config.Handler = intake.NewAPI(intake.Config{Client: client, Recharges: orders, Notices: notices, Access: accesstest.Guard(t, db)})
	channels.Config.Handler = s.Handler()
	for _, server := range []*httptest.Server{api, channels} {
		server.Start()
		t.Cleanup(server.Close)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return &Channels{API: api.URL, Key: accesstest.Key(t, db, Checkout, access.RechargesWrite), Client: api.Client(), Simulator: s}
}

// onePayment is a channels' record of a payment of 5.00, and the books that go with it.
func onePayment() ([]simulate.Entry, *Books) {
	entry := simulate.Entry{Kind: simulate.EntryPayment, Channel: tasks.SourceWeChat, ChannelTxnID: "t1", Amount: money.FromFen(5_00),
		Notice: simulate.NoticeAcknowledged}
	return []simulate.Entry{entry}, &Books{Payments: map[paymentName]Paid{{tasks.SourceWeChat, "t1"}: {Times: 1, Fen: 5_00}}}
}

func TestChannelsRecordIsComparedWithTheBooks(t *testing.T) {
	t.Parallel()
	name := paymentName{tasks.SourceWeChat, "t1"}
	for what, c := range map[string]struct {
		change        func([]simulate.Entry, *Books)
		lost, doubled string
	}{
		"they agree":         {func([]simulate.Entry, *Books) {}, "", ""},
		"not booked":         {func(_ []simulate.Entry, b *Books) { delete(b.Payments, name) }, "is in the channel's record and in no book", ""},
		"booked twice":       {func(_ []simulate.Entry, b *Books) { b.Payments[name] = Paid{2, 10_00} }, "", "is booked 2 times"},
		"booked as less":     {func(_ []simulate.Entry, b *Books) { b.Payments[name] = Paid{1, 4_99} }, "is booked as 4.99", ""},
		"booked as more":     {func(_ []simulate.Entry, b *Books) { b.Payments[name] = Paid{1, 5_01} }, "", "is booked as 5.01"},
		"nobody paid it":     {func(_ []simulate.Entry, b *Books) { b.Payments[paymentName{tasks.SourceECNY, "t1"}] = Paid{1, 1} }, "", "does not know it"},
		"a probe was taken":  {func(record []simulate.Entry, _ *Books) { record[0].ProbesAcknowledged = 1 }, "", "a wrong signature"},
		"of another channel": {func(record []simulate.Entry, _ *Books) { record[0].Channel = tasks.SourceECNY }, "ecny payment t1 of 5.00", "wechat payment t1"},
	} {
		record, books := onePayment()
		c.change(record, books)
		v := Judge(NewRecord(), record, books)
		if !strings.Contains(strings.Join(v.Lost, "\n"), c.lost) || !strings.Contains(strings.Join(v.Doubled, "\n"), c.doubled) ||
			v.OK() != (c.lost+c.doubled == "") {
			t.Errorf("%s: lost %q, doubled %q; want %q and %q", what, v.Lost, v.Doubled, c.lost, c.doubled)
		}
	}
}

// An API that does not answer is asked again, and one that refuses is a finding.
func TestAnswersOfTheAPIAreTold(t *testing.T) {
	t.Parallel()
	for status, refused := range map[int]bool{http.StatusServiceUnavailable: false, http.StatusForbidden: true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		c := &Channels{API: server.URL, Client: server.Client()}
		_, err := c.pay(t.Context(), &Ask{Payload: &tasks.Recharge{}, RechargeOrder: &tasks.RechargeOrder{RechargeID: "rc1"}})
		if err == nil || isAnswer(err) != refused {
			t.Errorf("%d: %v, an answer: %v", status, err, isAnswer(err))
		}
	}
}
