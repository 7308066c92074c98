package intake_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

const bulkRecharges = "/v1/requests/recharge:confirm/bulk"

func listOf(items ...string) *strings.Reader {
	return strings.NewReader("[" + strings.Join(items, ",") + "]")
}

func place(i int) *int { return &i }

// asAnswers compares answers by what a test can know beforehand.
var asAnswers = cmpopts.IgnoreFields(intake.ItemAnswer{}, "ID", "Error", "Outcome", "Problem")

func TestListIsAnsweredItemByItem(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc0", "u1", "1.00"))...)
	got := d.do(t, http.MethodPost, bulkRecharges, listOf(recharge("rc1", "u1", "5"), recharge("rc1", "u1", "5.00"),
		recharge("rc1", "u1", "6.00"), recharge("rc2", "u1", "1e-30"), "17", recharge("rc0", "u1", "1.00"), recharge("rc3", "u2", "7.00")))
	var answer intake.ListAnswer
	got.decode(t, &answer)
	want := intake.ListAnswer{Tally: intake.Tally{Accepted: 2, Replayed: 2, Conflicts: 1, Refused: 2}, Items: []intake.ItemAnswer{
		{Index: place(0), Status: "accepted", Key: "rc1"},
		{Index: place(1), Status: "replayed", Key: "rc1"},
		{Index: place(2), Status: "conflict", Key: "rc1", Fields: []tasks.Diff{{Field: "amount", Stored: `"5.00"`, Asked: `"6.00"`}}},
		{Index: place(3), Status: "refused"},
		{Index: place(4), Status: "refused"},
		{Index: place(5), Status: "replayed", Key: "rc0"},
		{Index: place(6), Status: "accepted", Key: "rc3"},
	}}
	if diff := cmp.Diff(want, answer, asAnswers); got.status != http.StatusOK || diff != "" {
		t.Fatalf("answer %d (-want +got):\n%s", got.status, diff)
	}
	items := answer.Items
	if items[0].ID == "" || items[0].ID != items[1].ID || items[0].ID != items[2].ID {
		t.Errorf("one request, ids %s, %s, %s", items[0].ID, items[1].ID, items[2].ID)
	}
	if items[3].Error.Field != "amount" || items[4].Error.Field != "payload" {
		t.Errorf("refused for %+v and %+v", items[3].Error, items[4].Error)
	}
	if items[5].Outcome == nil || items[5].Outcome.Result != tasks.Applied {
		t.Errorf("replay of an applied request: %+v", items[5])
	}
	if stored := d.stored(t); stored != 3 {
		t.Errorf("%d requests stored, want 3", stored)
	}
}

// manyRecharges makes n recharges.
func manyRecharges(n int) []string {
	items := make([]string, n)
	for i := range items {
		items[i] = recharge(fmt.Sprintf("rc%05d", i), fmt.Sprintf("u%d", i%97), "1.00")
	}
	return items
}

func TestLongestListIsAcceptedWhole(t *testing.T) {
	t.Parallel()
	d := open(t)
	items := manyRecharges(intake.ListMax + 1)
	problem := d.do(t, http.MethodPost, bulkRecharges, listOf(items...)).problem(t, http.StatusUnprocessableEntity)
	if stored := d.stored(t); stored != 0 || !strings.Contains(problem.Detail, "10000") {
		t.Errorf("one too many: %d stored, %+v", stored, problem)
	}
	// The same key at both ends: the chunk that holds the first is committed before the other's.
	items[intake.ListMax-1] = recharge("rc00000", "u0", "2.00")
	var answer intake.ListAnswer
	d.do(t, http.MethodPost, bulkRecharges, listOf(items[:intake.ListMax]...)).decode(t, &answer)
	if answer.Accepted != intake.ListMax-1 || answer.Conflicts != 1 || answer.Items[0].Status != "accepted" || len(answer.Items) != intake.ListMax {
		t.Fatalf("%+v, first %+v", answer.Tally, answer.Items[0])
	}
	for i, item := range answer.Items {
		if *item.Index != i {
			t.Fatalf("answer %d is for %d", i, *item.Index)
		}
	}
	if stored := d.stored(t); stored != intake.ListMax-1 {
		t.Errorf("%d requests stored", stored)
	}
}

func TestLongestListOfLargeRefundsIsAccepted(t *testing.T) {
	t.Parallel()
	d := open(t)
	id := func(prefix string, i int) string {
		return fmt.Sprintf("%s%0*d", prefix, tasks.IDBytesMax-len(prefix), i)
	}
	items := make([]string, intake.ListMax)
	for i := range items {
		var lines []string
		for line := range 8 {
			lines = append(lines, fmt.Sprintf(`{"line_id":%q,"amount":"1234.56"}`, id("line", line)))
		}
		items[i] = fmt.Sprintf(`{"refund_id":%q,"order_id":%q,"user_id":%q,"amount":"9876.48","lines":[%s],"reason":%q,`+
			`"occurred_at":"2026-03-02T12:00:00+08:00"}`, id("rf", i), id("o", i), id("u", i%97), strings.Join(lines, ","), strings.Repeat("r", 200))
	}
	var answer intake.ListAnswer
	got := d.do(t, http.MethodPost, "/v1/requests/refund:apply/bulk", listOf(items...))
	got.decode(t, &answer)
	if answer.Accepted != intake.ListMax {
		t.Errorf("answer %d, %+v", got.status, answer.Tally)
	}
}

func TestWhatIsNoListStoresNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	one := recharge("rc1", "u1", "1.00")
	for name, body := range map[string]string{
		"nothing": "", "an object": one, "null": "null", "an empty list": "[]", "cut off": "[" + one, "cut off after a comma": "[" + one + ",",
		"cut off in an item": "[" + one + "," + one[:20], "two lists": "[" + one + "][]", "more behind": "[" + one + "] x",
		"no comma": "[" + one + " " + one + "]", "a bare word": "[" + one + ",nil]", "nested to the end": strings.Repeat("[", 100_000),
	} {
		problem := d.do(t, http.MethodPost, bulkRecharges, strings.NewReader(body)).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != "payload" || !strings.Contains(problem.Errors[0].Allowed, "list of 1 to 10000") {
			t.Errorf("%s: %+v", name, problem)
		}
	}
	d.do(t, http.MethodPost, bulkRecharges, listOf(one+strings.Repeat(" ", intake.ListBytesMax))).problem(t, http.StatusRequestEntityTooLarge)
	problem := d.do(t, http.MethodPost, "/v1/requests/refund:answer/bulk", listOf("{}")).problem(t, http.StatusUnprocessableEntity)
	if problem.Errors[0].Field != "kind" {
		t.Errorf("a kind that is not for producers: %+v", problem)
	}
	if stored := d.stored(t); stored != 0 {
		t.Errorf("%d requests stored", stored)
	}
}

func TestListThatTheRateDoesNotAllowStoresNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	d := door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "shop", access.RechargesWrite)}
	server := httptest.NewServer(intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Recharges: rechargeOrders(d.Books),
		Access: access.NewGuard(access.Config{Pool: db.Pool, Rate: 1e-3, Burst: 3})}))
	t.Cleanup(server.Close)
	d.url = server.URL
	items := manyRecharges(4)
	if got := d.do(t, http.MethodPost, bulkRecharges, listOf(items[:3]...)); got.status != http.StatusOK {
		t.Fatalf("three items of three: %d %s", got.status, got.body)
	}
	got := d.do(t, http.MethodPost, bulkRecharges, listOf(items[3]))
	got.problem(t, http.StatusTooManyRequests)
	if got.header.Get("Retry-After") == "" || d.stored(t) != 3 {
		t.Errorf("Retry-After %q, %d stored", got.header.Get("Retry-After"), d.stored(t))
	}
}

func TestTakenKeysInAListAndAStreamTellNothingOfWhatIsStored(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Apply(t, d.Accept(t, ledgertest.Recharge("rc1", "u1", "1.00"))...)...)
	other := d.as(accesstest.Key(t, d.DB, "other", access.RechargesWrite))
	same, another := recharge("rc1", "u1", "1.00"), recharge("rc1", "u2", "1.00")
	var list intake.ListAnswer
	other.do(t, http.MethodPost, bulkRecharges, listOf(same, another)).decode(t, &list)
	if list.Tally != (intake.Tally{Conflicts: 2}) || len(list.Items) != 2 {
		t.Fatalf("answer %+v", list)
	}
	streaming := other.openStream(t)
	streaming.write(t, same, another)
	streamed := []intake.ItemAnswer{streaming.next(t), streaming.next(t)}
	if err := streaming.lines.Close(); err != nil {
		t.Fatal(err)
	}
	for _, items := range [][]intake.ItemAnswer{list.Items, streamed} {
		first, second := items[0], items[1]
		if first.Status != "conflict" || first.ID != "" || first.Outcome != nil || first.Fields != nil || first.Problem == nil ||
			first.Problem.Type != "urn:settled:problem:taken" {
			t.Errorf("answer %+v", first)
		}
		first.Index, first.Line, second.Index, second.Line = nil, 0, nil, 0
		if diff := cmp.Diff(first, second, cmpopts.IgnoreUnexported(intake.Problem{})); diff != "" {
			t.Errorf("what is the same is told from what is not:\n%s", diff)
		}
	}
}

func TestAwayPostgresLeavesAListUnknown(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openOn(t, db)
	d.do(t, http.MethodGet, "/v1/requests/recharge:confirm/rc1", nil).problem(t, http.StatusNotFound) // its key is known from now on
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	got := d.do(t, http.MethodPost, bulkRecharges, listOf(manyRecharges(3)...))
	problem := got.problem(t, http.StatusServiceUnavailable)
	if got.header.Get("Retry-After") == "" || !strings.Contains(problem.Detail, "send all of them again") {
		t.Errorf("problem %+v", problem)
	}
	d.expectCounted(t, 0, func(kind tasks.Kind, status string) int {
		if kind == tasks.RechargeConfirm && status == "unknown" {
			return 3
		}
		return 0
	})
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
	if again := d.do(t, http.MethodPost, bulkRecharges, listOf(manyRecharges(3)...)); again.status != http.StatusOK {
		t.Errorf("after the restart: %d %s", again.status, again.body)
	}
}
