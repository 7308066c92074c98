package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func rewardLine(id, yuan string) string {
	return fmt.Sprintf(`{"reward_id":%q,"user_id":"u1","campaign_id":"c1","amount":%q,"occurred_at":"2026-03-02T12:00:00+08:00"}`, id, yuan)
}

// answers reads the lines of a run's output.
func answers(t *testing.T, output string) []intake.ItemAnswer {
	t.Helper()
	var list []intake.ItemAnswer
	for decoder := json.NewDecoder(strings.NewReader(output)); decoder.More(); {
		var answer intake.ItemAnswer
		if err := decoder.Decode(&answer); err != nil {
			t.Fatalf("%v in:\n%s", err, output)
		}
		list = append(list, answer)
	}
	return list
}

func stored(t *testing.T, books *ledgertest.Books) int {
	t.Helper()
	var requests int
	if err := books.DB.Pool.QueryRow(t.Context(), "SELECT count(*) FROM requests").Scan(&requests); err != nil {
		t.Fatal(err)
	}
	return requests
}

func TestEachLineGetsItsAnswerInItsPlace(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	ledgertest.Applied(t, books.Do(t, ledgertest.Reward("rw0", "u1", "1.00"))...)
	c.stdin = strings.NewReader(strings.Join([]string{
		rewardLine("rw1", "5.00"), "", "  \t", rewardLine("rw1", "5"), rewardLine("rw1", "6.00"), rewardLine("rw2", "0"), "{",
		rewardLine("rw0", "1.0"),
	}, "\n")) // the last line has no end
	got := c.run(t, "request", "reward:grant", "--file", "-", "--producer", "till-7")
	got.expect(t, exitNo, "1 accepted, 2 replayed, 1 conflicts, 2 refused")
	list := answers(t, got.stdout)
	want := []intake.ItemAnswer{
		{Line: 1, Status: "accepted", Key: "rw1"},
		{Line: 4, Status: "replayed", Key: "rw1"},
		{Line: 5, Status: "conflict", Key: "rw1", Fields: []tasks.Diff{{Field: "amount", Stored: `"5.00"`, Asked: `"6.00"`}}},
		{Line: 6, Status: "refused"},
		{Line: 7, Status: "refused"},
		{Line: 8, Status: "replayed", Key: "rw0"},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(intake.ItemAnswer{}, "ID", "Error", "Outcome")); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	if list[0].ID == "" || list[0].ID != list[1].ID || list[0].ID != list[2].ID {
		t.Errorf("one request, ids %s, %s, %s", list[0].ID, list[1].ID, list[2].ID)
	}
	if list[3].Error.Field != "amount" || list[4].Error.Field != "payload" {
		t.Errorf("refused for %+v and %+v", list[3].Error, list[4].Error)
	}
	if list[5].Outcome == nil || list[5].Outcome.Result != tasks.Applied {
		t.Errorf("replay of an applied request: %+v", list[5])
	}
	c.run(t, "show", "reward:grant", "rw1").expect(t, exitOK, "accepted  by till-7")
}

func TestHugeLineIsRefusedByItsNumberAndReadingGoesOn(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	const huge = 10 << 20
	file := filepath.Join(t.TempDir(), "requests.jsonl")
	content := rewardLine("rw1", "1.00") + "\n" + `{"reward_id":"` + strings.Repeat("x", huge) + "\"}\n" + rewardLine("rw2", "1.00") + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got := c.run(t, "request", "reward:grant", "--file", file)
	got.expect(t, exitNo, "2 accepted, 0 replayed, 0 conflicts, 1 refused")
	list := answers(t, got.stdout)
	if len(list) != 3 || list[1].Line != 2 || list[1].Status != "refused" || list[2].Line != 3 || list[2].Status != "accepted" {
		t.Fatalf("answers %+v", list)
	}
	if e := list[1].Error; e.Field != "payload" || e.Problem != fmt.Sprintf("has %d bytes", huge+16) || e.Allowed != "up to 65536 bytes" {
		t.Errorf("refused for %+v", e)
	}
	if n := stored(t, books); n != 2 {
		t.Errorf("%d requests stored, want 2", n)
	}
}

func TestLinesAreAcceptedAsTheyCome(t *testing.T) {
	t.Parallel()
	_, c := open(t)
	read, write := io.Pipe()
	c.stdin = read
	running := c.start(t, "request", "reward:grant", "--file", "-")
	for _, id := range []string{"rw1", "rw2"} {
		if _, err := io.WriteString(write, rewardLine(id, "1.00")+"\n"); err != nil {
			t.Fatal(err)
		}
		running.says(running.stdout, `"key":"`+id+`"`)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	running.says(running.stderr, "2 accepted")
	if <-running.done; running.code != exitOK {
		t.Errorf("exit code %d", running.code)
	}
}

func TestInterruptionEndsARunThatWaitsForItsInput(t *testing.T) {
	t.Parallel()
	_, c := open(t)
	read, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	c.stdin, c.signals = read, make(chan os.Signal, 1)
	running := c.start(t, "request", "reward:grant", "--file", "-")
	if _, err := io.WriteString(write, rewardLine("rw1", "1.00")+"\n"); err != nil {
		t.Fatal(err)
	}
	running.says(running.stdout, `"key":"rw1"`)
	c.signals <- os.Interrupt
	if <-running.done; running.code != exitInterrupted {
		t.Errorf("ended with %d", running.code)
	}
	running.says(running.stderr, "stopped after line 1: interrupted by interrupt")
}

func TestManyLinesAreAcceptedInChunksAndReplayedAgain(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	var lines strings.Builder
	const count = 2*intake.ChunkMax + 7
	for i := range count {
		lines.WriteString(rewardLine(fmt.Sprintf("rw%d", i), "1.00") + "\n")
	}
	for _, want := range []string{fmt.Sprintf("%d accepted, 0 replayed", count), fmt.Sprintf("0 accepted, %d replayed", count)} {
		c.stdin = strings.NewReader(lines.String())
		got := c.run(t, "request", "reward:grant", "--file", "-")
		got.expect(t, exitOK, want)
		for i, answer := range answers(t, got.stdout) {
			if answer.Line != i+1 || answer.Key != fmt.Sprintf("rw%d", i) {
				t.Fatalf("answer %d is %+v", i, answer)
			}
		}
	}
	if n := stored(t, books); n != count {
		t.Errorf("%d requests stored, want %d", n, count)
	}
}

func TestAcceptedLinesAreRungFor(t *testing.T) {
	t.Parallel()
	_, c := open(t)
	server := redistest.New(t)
	c.env["REDIS_URL"] = server.URL
	c.stdin = strings.NewReader(rewardLine("rw1", "1.00"))
	c.run(t, "request", "reward:grant", "--file", "-").expect(t, exitOK)
	if n := pendingRings(t, server); n != 1 {
		t.Errorf("%d rings wait in Redis, want 1", n)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	c.stdin = strings.NewReader(rewardLine("rw2", "1.00"))
	c.run(t, "request", "reward:grant", "--file", "-").expect(t, exitOK, "1 accepted", "the workers will find them by themselves")
}

func pendingRings(t *testing.T, server *devstack.Redis) int64 {
	t.Helper()
	client, err := redisFlags{RedisURL: server.URL}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	n, err := client.LLen(t.Context(), "asynq:{low}:pending").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTimesSinceAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "+0 ms", 7 * time.Millisecond: "+7 ms", 1070 * time.Millisecond: "+1.07 s",
		72 * time.Hour: "+72h0m0s"} {
		if got := after(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestSweepOfANightThatHasNotComeIsRefusedAtTheCommandLine(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	c.stdin = strings.NewReader(`{"product_id":"xiaojinku","business_date":"2099-12-31"}`)
	got := c.run(t, "request", "sweep:run", "--file", "-")
	got.expect(t, exitNo, "0 accepted, 0 replayed, 0 conflicts, 1 refused")
	if list := answers(t, got.stdout); len(list) != 1 || list[0].Error == nil || list[0].Error.Field != "business_date" || stored(t, books) != 0 {
		t.Errorf("answers %+v, %d stored", list, stored(t, books))
	}
}
