package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

var faultInHelp = regexp.MustCompile(`curl (http://127\.0\.0\.1:8090/faults -d '(\{"(\w+)":1000\})'|-X POST http://127\.0\.0\.1:8090/rotate/wechat)`)

// Each fault has a line in the help and in the README, and each line runs.
func TestHelpAndReadmeHaveALineForEachFaultThatRuns(t *testing.T) {
	t.Parallel()
	simulator := call{}.start(t, "simulate", "channel", "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--notify", "http://127.0.0.1:1", "--only", "wechat")
	address := simulatedAt.FindStringSubmatch(simulator.says(simulator.stdout, "ready; Ctrl-C ends it"))
	if address == nil {
		t.Fatal("no address")
	}
	post := func(path, body string, want int) string {
		response, err := http.Post(address[1]+path, "application/x-www-form-urlencoded", strings.NewReader(body)) // as curl does
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		answer, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want {
			t.Errorf("%s %s: %s %s, %v", path, body, response.Status, answer, err)
		}
		return string(answer)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	if err := json.Unmarshal([]byte(post("/faults", "{}", http.StatusOK)), &left); err != nil {
		t.Fatal(err)
	}
	rotated := false
	for _, line := range faultInHelp.FindAllStringSubmatch(simulateChannelCommand{}.Help(), -1) {
		if !strings.Contains(string(readme), "\n"+line[0]) {
			t.Errorf("the README lacks %s", line[0])
		}
		if line[3] == "" {
			post("/rotate/wechat", "", http.StatusNoContent)
			rotated = true
			continue
		}
		if said := post("/faults", line[2], http.StatusOK); !strings.Contains(said, line[2][1:len(line[2])-1]) {
			t.Errorf("%s: %s", line[2], said)
		}
		delete(left, line[3])
	}
	if len(left) > 0 || !rotated {
		t.Errorf("the help does not tell of %v; rotates: %v", left, rotated)
	}
	if code := simulator.stop(); code != exitOK {
		t.Errorf("ended with %d", code)
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
