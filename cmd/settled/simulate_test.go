package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/tasks"
)

var simulatedAt = regexp.MustCompile(`simulating .* at (http://\S+)`)

// A merchant who has what the directory says reads what is paid, and a second start remembers it.
func TestSimulatedChannelsAreServedAndRemembered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paths := make(chan string, 100)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logger, err := telemetry.NewLogger(io.Discard, telemetry.LogConfig{Level: "info", Format: "text"})
		if err != nil {
			t.Error(err)
		}
		opened, err := roster.Open(dir, http.DefaultClient, logger)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		source := tasks.Source(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		port, _ := opened.Port(source)
		now := clock.System.Now()
		notice, err := port.ReadNotice(r.Header, body, now)
		reply := port.Reply(err, now)
		if reply.ContentType != "" {
			w.Header().Set("Content-Type", reply.ContentType)
		}
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body)
		if err == nil {
			paths <- r.URL.Path + " " + notice.OutTradeNo
		}
	}))
	t.Cleanup(shop.Close)
	var first simulate.Receipt
	for start := range 2 {
		simulator := call{}.start(t, "simulate", "channel", "--dir", dir, "--listen", "127.0.0.1:0", "--notify", shop.URL, "--only", "wechat")
		said := simulator.says(simulator.stdout, "ready; Ctrl-C ends it")
		address := simulatedAt.FindStringSubmatch(said)
		if address == nil {
			t.Fatalf("no address in:\n%s", said)
		}
		receipt := payAt(t, address[1], `{"channel":"wechat","out_trade_no":"rc1","amount":"100.00"}`)
		if start == 0 {
			first = receipt
			if got := <-paths; got != "/v1/notices/wechat rc1" {
				t.Errorf("the shop heard of %s", got)
			}
		}
		if receipt.ChannelTxnID != first.ChannelTxnID || receipt.Replayed != (start > 0) {
			t.Errorf("start %d: %+v, want the payment %s", start, receipt, first.ChannelTxnID)
		}
		until(t, "the acknowledgement is in the record", func() bool {
			_, record := fetch(t, address[1]+"/record")
			return strings.Count(record, "\n") == 1 && strings.Contains(record, `"notice":"acknowledged"`)
		})
		if code := simulator.stop(); code != exitOK {
			t.Errorf("ended with %d", code)
		}
	}
}

func payAt(t *testing.T, address, order string) simulate.Receipt {
	t.Helper()
	response, err := http.Post(address+"/pay", "application/json", strings.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var receipt simulate.Receipt
	if err := json.NewDecoder(response.Body).Decode(&receipt); err != nil || receipt.ChannelTxnID == "" {
		t.Fatalf("pay: %s, %v", response.Status, err)
	}
	return receipt
}
