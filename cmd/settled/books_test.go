package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// open opens books of the test's own, and a call that works on them.
func open(t *testing.T) (*ledgertest.Books, call) {
	t.Helper()
	books := ledgertest.Open(t)
	return books, call{env: map[string]string{"DATABASE_URL": books.DB.URL, "USER": "ada"}}
}

// story is one user's: recharged, paid in combination, refunded.
func story(t *testing.T, books *ledgertest.Books) {
	t.Helper()
	ledgertest.Applied(t, books.Do(t,
		ledgertest.Recharge("rc1", "u1", "100.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "80.00"),
			tasks.Leg{Source: tasks.SourceWeChat, Amount: ledgertest.Yuan("20.00"), ChannelTxnID: "wx-o1"}),
		ledgertest.Refund("r1", "o1", "u1", "30.00"),
	)...)
	books.Settle(t)
}

var (
	anyTime  = regexp.MustCompile(`\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}`)
	anySince = regexp.MustCompile(`\+\d+ ms *`)
	anyID    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// masked replaces what differs from run to run.
func masked(text string) string {
	return anyID.ReplaceAllString(anySince.ReplaceAllString(anyTime.ReplaceAllString(text, "TIME"), "SINCE  "), "ID")
}

func TestShowTellsARequestOnOneTimeline(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	got := c.run(t, "show", "recharge:confirm", "rc1")
	got.expect(t, exitOK)
	want := `recharge:confirm rc1: applied

  request        ID
  book           2
  occurred       TIME
  business date  2026-03-02

payload
  {
    "recharge_id": "rc1",
    "user_id": "u1",
    "channel": "wechat",
    "channel_txn_id": "wx-rc1",
    "amount": "100.00",
    "occurred_at": "2026-03-02T04:00:00Z"
  }

timeline, Shanghai time
  TIME             accepted  by test
  TIME  SINCE  applied   1 transfer

transfers
  number  debit                    credit        amount  debit balance  credit balance
       1  channel/wechat/clearing  user/u1/cash  100.00                         100.00
`
	if diff := cmp.Diff(want, masked(got.stdout)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	var record ledger.Record
	parse(t, c.run(t, "show", "refund:apply", "r1", "--json"), &record)
	if record.State != "applied" || record.Outcome == nil || len(record.Transfers) != 2 || len(record.Timeline) != 2 {
		t.Errorf("by JSON: %+v", record)
	}
	if _, err := books.Client.Enqueue(t.Context(), ledgertest.Recharge("rc1", "u1", "7.00")); err == nil {
		t.Fatal("another amount was accepted under the same key")
	}
	after := masked(c.run(t, "show", "recharge:confirm", "rc1").stdout)
	if !strings.Contains(after, "applied   1 transfer\n  TIME  SINCE  conflict") {
		t.Errorf("after a conflict:\n%s", after)
	}
	c.run(t, "show", "refund:apply", "r2").expect(t, exitNo, `refund:apply "r2": not found`)
	c.run(t, "show", "refund:apply", "r\x00").expect(t, exitNo, "not found")
}

// parse reads a run's JSON, strictly.
func parse(t *testing.T, e ended, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(e.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in:\n%s%s", err, e.stdout, e.stderr)
	}
}

func TestBalanceTellsNowAndThen(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	ledgertest.Applied(t, books.Do(t, ledgertest.Reward("rw1", "u1", "5.00"))...)
	got := c.run(t, "balance", "u1")
	got.expect(t, exitOK)
	want := "account         balance  held  available\n" +
		"user/u1/cash      44.00  0.00      44.00\n" +
		"user/u1/reward     5.00  0.00       5.00\n"
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got = c.run(t, "balance", "u1", "--at", "2026-01-01")
	if want = "account         balance\nuser/u1/cash       0.00\nuser/u1/reward     0.00\n"; got.stdout != want {
		t.Errorf("then: %q, want %q", got.stdout, want)
	}
	var balances intake.Balances
	parse(t, c.run(t, "balance", "u1", "--json", "--at", "2026-01-01T00:00:00+08:00"), &balances)
	if balances.UserID != "u1" || balances.At == nil || len(balances.Accounts) != 2 {
		t.Errorf("by JSON: %+v", balances)
	}
	for _, user := range []string{"nobody", "\xff"} {
		c.run(t, "balance", user).expect(t, exitNo, "has no accounts")
	}
}

func TestStatementListsTheNewestFirstAndPages(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	got := c.run(t, "statement", "u1")
	got.expect(t, exitOK)
	want := `number posted account amount balance other account request
4 TIME user/u1/cash 24.00 44.00 merchant/m1/payable refund:apply r1
2 TIME user/u1/cash -80.00 20.00 merchant/m1/payable payment:capture o1
1 TIME user/u1/cash 100.00 100.00 channel/wechat/clearing recharge:confirm rc1
`
	if diff := cmp.Diff(want, regexp.MustCompile(`(?m)^ +| +( )`).ReplaceAllString(masked(got.stdout), "$1")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var page statement
	parse(t, c.run(t, "statement", "u1", "--limit", "2", "--json"), &page)
	if len(page.Entries) != 2 || page.Next == "" || page.Entries[0].Key != "r1" {
		t.Errorf("first page %+v", page)
	}
	c.run(t, "statement", "u1", "--limit", "2").expect(t, exitOK, "more: --after "+page.Next)
	var last statement
	parse(t, c.run(t, "statement", "u1", "--after", page.Next, "--json"), &last)
	if len(last.Entries) != 1 || last.Entries[0].Key != "rc1" || last.Next != "" {
		t.Errorf("last page %+v", last)
	}
	for _, place := range []string{"2", "1.x", "1.2,"} {
		c.run(t, "statement", "u1", "--after", place).expect(t, exitUsage, "is no place in a statement")
	}
	c.run(t, "statement", "nobody").expect(t, exitNo, "has no accounts")
}

func TestAuditHoldsOverAStory(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	c.run(t, "audit").expect(t, exitOK, "I1 ", "I10", "holds", "sum of all balances: 0.00 CNY", "the books balance")
	var report struct {
		OK bool `json:"ok"`
		ledger.AuditReport
	}
	parse(t, c.run(t, "audit", "--json"), &report)
	if !report.OK || len(report.Checks) < 10 || report.Totals.Transfers == 0 {
		t.Errorf("by JSON: %+v", report)
	}
}

func TestAuditNamesTheFirstBadRow(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	change := func(ctx context.Context, t testing.TB, fen int) {
		if _, err := books.DB.Owner.Exec(ctx, "UPDATE accounts SET balance_fen = balance_fen + $1 WHERE name = 'user/u1/cash'", fen); err != nil {
			t.Error(err)
		}
	}
	change(t.Context(), t, 1)
	books.DB.OnCleanup(func(ctx context.Context, t testing.TB) { change(ctx, t, -1) }) // before the audit that ends each test
	c.run(t, "audit").expect(t, exitNo, "BROKEN", "first: ", "user/u1/cash", "sum of all balances: 0.01 CNY", "the books do not balance: I1")
	got := c.run(t, "audit", "--json")
	got.expect(t, exitNo, `"ok": false`, `"broken": "`)
}

func TestDeadRequestIsListedAndRequeuedOnce(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	receipt := books.Accept(t, ledgertest.Recharge("rc1", "u1", "100.00"))[0]
	c.run(t, "dead").expect(t, exitOK, "no request waits for a person")
	c.run(t, "requeue", "recharge:confirm", "rc1").expect(t, exitNo, "is not dead: it is accepted")
	if err := books.Ledger.Bury(t.Context(), receipt.Book, receipt.ID, "a rule\npanicked"); err != nil {
		t.Fatal(err)
	}
	c.run(t, "dead").expect(t, exitOK, "recharge:confirm rc1", "a rule panicked")
	c.run(t, "show", "recharge:confirm", "rc1").expect(t, exitOK, "recharge:confirm rc1: dead", "settled requeue recharge:confirm rc1")
	var letters []ledger.DeadLetter
	parse(t, c.run(t, "dead", "--json"), &letters)
	if len(letters) != 1 || letters[0].Key != "rc1" {
		t.Errorf("by JSON: %+v", letters)
	}

	c.run(t, "requeue", "recharge:confirm", "rc1").expect(t, exitOK, "recharge:confirm rc1 runs again")
	c.run(t, "requeue", "recharge:confirm", "rc1").expect(t, exitNo, "is not dead")
	c.run(t, "requeue", "recharge:confirm", "rc2").expect(t, exitNo, "not found")
	ledgertest.Applied(t, books.Apply(t, receipt)...)
	c.run(t, "show", "recharge:confirm", "rc1").expect(t, exitOK, "requeued  ada", "applied")
	c.run(t, "requeue", "recharge:confirm", "rc1").expect(t, exitNo, "it is applied")
	if got := c.run(t, "dead", "--json"); got.stdout != "[]\n" {
		t.Errorf("no dead requests by JSON: %q", got.stdout)
	}
}

func TestDeadRequestsOfOneCauseAreRequeuedTogether(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	receipts := books.Accept(t, ledgertest.Recharge("rc1", "u1", "1.00"), ledgertest.Recharge("rc2", "u1", "2.00"), ledgertest.Recharge("rc3", "u1", "4.00"))
	for i, cause := range []string{"out of money", "out of luck", "out of money"} {
		if err := books.Ledger.Bury(t.Context(), receipts[i].Book, receipts[i].ID, cause); err != nil {
			t.Fatal(err)
		}
	}
	chosen := []string{"requeue", "--dead", "--kind", "recharge:confirm", "--channel", "wechat", "--reason", "money"}
	c.run(t, append(chosen, "--dry-run")...).expect(t, exitOK, "2 dead recharge:confirm would run again")
	c.run(t, chosen...).expect(t, exitOK, "2 dead recharge:confirm run again")
	c.run(t, chosen...).expect(t, exitOK, "0 dead recharge:confirm run again")
	c.run(t, "show", "recharge:confirm", "rc3").expect(t, exitOK, "requeued  ada")
	c.run(t, "dead").expect(t, exitOK, "rc2", "out of luck")
}

func TestPolicyIsPrintedEditedAndSet(t *testing.T) {
	t.Parallel()
	_, c := open(t)
	first := c.run(t, "policy")
	first.expect(t, exitOK, "policy 0: the defaults", `"refund_split": "proportional"`)
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(strings.Replace(first.stdout, "proportional", "balance_first", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "policy", "--set", file).expect(t, exitOK, "policy 1\n")
	c.run(t, "policy").expect(t, exitOK, "policy 1\n", `"refund_split": "balance_first"`)

	c.stdin = strings.NewReader(`{"refund_split":"at random"}`)
	c.run(t, "policy", "--set", "-").expect(t, exitUsage, "--set -: refund_split", "proportional, external_first, balance_first")
	c.stdin = strings.NewReader(strings.Repeat(" ", policyBytesMax+1))
	c.run(t, "policy", "--set", "-").expect(t, exitUsage, "has more than 1048576 bytes")
	c.run(t, "policy").expect(t, exitOK, "policy 1\n")
}

func TestMigrateMakesBooksOnceAndKeepsTheirNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  []string
		books string
	}{{[]string{"migrate"}, "4 books\n"}, {[]string{"migrate", "--books", "7"}, "7 books\n"}} {
		db := pgtest.New(t, pgtest.Empty())
		call := call{env: map[string]string{"DATABASE_URL": db.URL}}
		call.run(t, "audit").expect(t, exitTrouble)
		call.run(t, c.args...).expect(t, exitOK, "00001_books.sql", c.books)
		if again := call.run(t, "migrate"); again.code != exitOK || again.stdout != c.books {
			t.Errorf("again: %+v, want %s", again, c.books)
		}
		call.run(t, "migrate", "--books", "5").expect(t, exitUsage, "settled: --books: is 5; the ledger has ", "cannot become 5: a user's book is fixed by their number\n")
		call.run(t, "audit").expect(t, exitOK, "the books balance")
	}
}

func TestUnmigratedDatabaseSaysWhatToRun(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Books(0))
	c := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": "redis://127.0.0.1:1/0"}}
	for _, args := range [][]string{{"balance", "u1"}, {"request", "refund:apply", "--file", "-"}, {"api", "--listen", "127.0.0.1:0", "--metrics-listen", "off"}} {
		c.run(t, args...).expect(t, exitTrouble, "run `settled migrate`")
	}
}

func TestHealthcheckAsksForOK(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "x")
	}))
	t.Cleanup(server.Close)
	call{}.run(t, "healthcheck", server.URL+"/healthz").expect(t, exitOK)
	call{}.run(t, "healthcheck", server.URL+"/readyz").expect(t, exitNo, "answered 503")
	call{}.run(t, "healthcheck", "http://127.0.0.1:1/healthz").expect(t, exitTrouble, "refused")
}

func TestPolicyHelpTellsEveryField(t *testing.T) {
	t.Parallel()
	shape := reflect.TypeFor[tasks.Policy]()
	for i := range shape.NumField() {
		if name := shape.Field(i).Tag.Get("json"); !strings.Contains(policyCommand{}.Help(), name) {
			t.Errorf("the help does not tell what %s is", name)
		}
	}
}
