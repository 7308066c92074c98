package intake_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestStatementIsPagedWhileItGrows(t *testing.T) {
	t.Parallel()
	d := open(t)
	for i := range 7 {
		ledgertest.Applied(t, d.Do(t, ledgertest.Recharge(fmt.Sprintf("rc%d", i), "u1", "1.00"))...)
	}
	var keys, balances []string
	for query := "?limit=3"; query != ""; {
		var page intake.StatementPage
		got := d.do(t, http.MethodGet, "/v1/users/u1/statement"+query, nil)
		got.decode(t, &page)
		for _, entry := range page.Items {
			keys, balances = append(keys, entry.Key), append(balances, entry.Balance.String())
		}
		if query = ""; page.Next != "" {
			query = linked(t, got)
			ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("late-"+keys[len(keys)-1], "u1", "1.00"))...) // while somebody pages
		}
	}
	if want := "rc6 rc5 rc4 rc3 rc2 rc1 rc0"; strings.Join(keys, " ") != want {
		t.Errorf("entries %v, want %s", keys, want)
	}
	if want := "7.00 6.00 5.00 4.00 3.00 2.00 1.00"; strings.Join(balances, " ") != want {
		t.Errorf("balances %v, want %s", balances, want)
	}
}

func TestStatementIsBoundedByTimesOfPosting(t *testing.T) {
	t.Parallel()
	d := open(t)
	for i := range 3 {
		ledgertest.Applied(t, d.Do(t, ledgertest.Recharge(fmt.Sprintf("rc%d", i), "u1", "1.00"))...)
	}
	var all, within intake.StatementPage
	d.do(t, http.MethodGet, "/v1/users/u1/statement", nil).decode(t, &all)
	middle := url.QueryEscape(all.Items[1].PostedAt.Format(time.RFC3339Nano))
	for query, want := range map[string]string{"?from=" + middle: "rc2 rc1", "?to=" + middle: "rc0", "?from=" + middle + "&to=" + middle: ""} {
		within = intake.StatementPage{}
		d.do(t, http.MethodGet, "/v1/users/u1/statement"+query, nil).decode(t, &within)
		var keys []string
		for _, entry := range within.Items {
			keys = append(keys, entry.Key)
		}
		if strings.Join(keys, " ") != want || within.Next != "" {
			t.Errorf("%s: %v, next %q; want %s", query, keys, within.Next, want)
		}
	}
}

// csvOf asks for a statement as a table.
func (d door) csvOf(t *testing.T, query, accept string) (answer, [][]string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/v1/users/u1/statement"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	got := d.send(t, request)
	if !strings.HasPrefix(got.header.Get("Content-Type"), "text/csv") {
		return got, nil
	}
	rows, err := csv.NewReader(strings.NewReader(string(got.body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return got, rows
}

func TestStatementAsCSVHasNoFormula(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("@SUM", "u1", "100.00"),
		ledgertest.Payment("-1-1", "u1", ledgertest.Leg(tasks.SourceCash, "30.00")))...)
	got, rows := d.csvOf(t, "?limit=1", "text/csv")
	if len(rows) != 2 || strings.Join(rows[0], ",") != "seq,posted_at,business_date,account,amount,balance,other,kind,key" {
		t.Fatalf("answer %d\n%s", got.status, got.body)
	}
	if row := rows[1]; row[3] != "user/u1/cash" || row[4] != "-30.00" || row[5] != "70.00" || row[7] != "payment:capture" || row[8] != "'-1-1" {
		t.Errorf("row %q", row)
	}
	if !strings.HasSuffix(string(got.body), "'-1-1\r\n") || got.header.Get("Vary") != "Accept" ||
		got.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" {
		t.Errorf("%s, Vary %q, %q", got.header.Get("Content-Type"), got.header.Get("Vary"), got.body)
	}
	if _, rows = d.csvOf(t, linked(t, got), "text/csv, application/json;q=0.1"); len(rows) != 2 || rows[1][8] != "'@SUM" {
		t.Errorf("the next page: %q", rows)
	}
	for _, accept := range []string{"", "*/*", "application/json", "text/csv;q=0.1, application/json", "text/html"} {
		if got, rows := d.csvOf(t, "", accept); rows != nil || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("Accept: %q: %s", accept, got.header.Get("Content-Type"))
		}
	}
}

func TestWrongPagesAreRefusedByField(t *testing.T) {
	t.Parallel()
	d := open(t)
	for i := range 3 {
		ledgertest.Applied(t, d.Do(t, ledgertest.Recharge(fmt.Sprintf("rc%d", i), "u1", "1.00"),
			ledgertest.Recharge(fmt.Sprintf("rd%d", i), "u2", "1.00"))...)
	}
	var page intake.StatementPage
	d.do(t, http.MethodGet, "/v1/users/u1/statement?limit=1", nil).decode(t, &page)
	for path, field := range map[string]string{
		"/v1/users/u1/statement?limit=0": "limit", "/v1/users/u1/statement?limit=501": "limit", "/v1/users/u1/statement?limit=x": "limit",
		"/v1/users/u1/statement?limit=1e1": "limit", "/v1/users/u1/statement?from=yesterday": "from", "/v1/users/u1/statement?to=2026-03-02": "to",
		"/v1/users/u1/statement?cursor=x":                                      "cursor",
		"/v1/users/u1/statement?cursor=%FF":                                    "cursor",
		"/v1/users/u1/statement?cursor=" + page.Next + "A":                     "cursor",
		"/v1/users/u2/statement?cursor=" + page.Next:                           "cursor", // of another user
		"/v1/users/u1/statement?from=2020-01-01T00:00:00Z&cursor=" + page.Next: "cursor", // of other times
		"/v1/requests?cursor=" + page.Next:                                     "cursor", // of another list
		"/v1/requests?state=applied":                                           "state",
		"/v1/requests?kind=refund:pay":                                         "kind",
		"/v1/requests?limit=-1":                                                "limit",
		"/v1/requests?producer=a%2Fb":                                          "producer",
		"/v1/orders/o1/refunds?limit=1000":                                     "limit",
		"/v1/users/u1/statement?cursor=" + strings.Repeat("A", 8000):           "cursor",
	} {
		problem := d.do(t, http.MethodGet, path, nil).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != field || problem.Errors[0].Allowed == "" {
			t.Errorf("%.60s: %+v, want one for %s", path, problem, field)
		}
	}
	d.do(t, http.MethodGet, "/v1/users/nobody/statement", nil).problem(t, http.StatusNotFound)
	d.do(t, http.MethodGet, "/v1/users/%FF/statement", nil).problem(t, http.StatusNotFound)
}

func TestTimesBeforeTheYear2000AreNotTakenForNone(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc1", "u1", "1.00"))...)
	for path, field := range map[string]string{"balances?at=": "at", "statement?from=": "from", "statement?to=": "to"} {
		problem := d.do(t, http.MethodGet, "/v1/users/u1/"+path+"0001-01-01T00:00:00Z", nil).problem(t, http.StatusUnprocessableEntity)
		if problem.Errors[0].Field != field || strings.Contains(problem.Errors[0].Allowed, "+08:00") {
			t.Errorf("%s: %+v", path, problem)
		}
	}
}
