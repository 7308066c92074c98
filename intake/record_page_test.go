package intake_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// pages reads a list to its end, so many rows at a time, by the headers that lead on.
func pages[T any](t *testing.T, d door, path string) []T {
	t.Helper()
	base, _, _ := strings.Cut(path, "?")
	var all []T
	for path != "" {
		var page struct {
			Items []T
			Next  string
		}
		got := d.do(t, http.MethodGet, path, nil)
		if got.decode(t, &page); got.status != http.StatusOK || page.Items == nil {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		all = append(all, page.Items...)
		if path = ""; page.Next != "" {
			path = base + linked(t, got)
		}
	}
	return all
}

func TestTransfersOfALargeRequestArePaged(t *testing.T) {
	t.Parallel()
	d := openOn(t, pgtest.New(t, pgtest.Books(1)))
	const users = 1003
	var asked []tasks.Payload
	for i := range users {
		user := fmt.Sprintf("u%04d", i)
		asked = append(asked, ledgertest.Recharge("rc"+user, user, "2.00"), ledgertest.Enrolment("e"+user, user, "1.00"))
	}
	ledgertest.Applied(t, d.Do(t, asked...)...)
	ledgertest.Applied(t, d.Do(t, &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})...)
	d.Settle(t)
	var kind, key string
	if err := d.DB.Owner.QueryRow(t.Context(), `SELECT r.kind, r.key FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
		WHERE o.transfers = $1`, users).Scan(&kind, &key); err != nil {
		t.Fatal(err)
	}
	path := "/v1/requests/" + kind + "/" + strings.ReplaceAll(key, "/", "%2F")
	var record intake.RequestRecord
	d.do(t, http.MethodGet, path, nil).decode(t, &record)
	if len(record.Transfers) != 1000 || record.Outcome.Transfers != users || record.MoreEvents != "" {
		t.Fatalf("%d transfers of %d, events at %q", len(record.Transfers), record.Outcome.Transfers, record.MoreEvents)
	}
	more := pages[ledger.Posted](t, d, record.MoreTransfers)
	all := pages[ledger.Posted](t, d, path+"/transfers?limit=500")
	if len(more) != users-1000 || len(all) != users {
		t.Fatalf("%d more, %d in all", len(more), len(all))
	}
	for i, transfer := range all {
		if transfer.Seq != record.Outcome.FirstTransfer+int64(i) {
			t.Fatalf("transfer %d is number %d", i, transfer.Seq)
		}
	}
	if more[0].Seq != all[1000].Seq {
		t.Errorf("the others begin at %d", more[0].Seq)
	}
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.Read))
	for _, list := range []string{"/transfers", "/timeline"} {
		shop.do(t, http.MethodGet, path+list, nil).problem(t, http.StatusNotFound)
	}
}

func TestTimelineIsPagedFromItsBeginning(t *testing.T) {
	t.Parallel()
	d := open(t)
	receipt := d.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	conflicts := func(n int, at string) {
		t.Helper()
		if _, err := d.DB.Owner.Exec(t.Context(), `INSERT INTO conflicts (book, request_id, producer, fields, at)
			SELECT $1, $2, 'test', to_json('c' || n), `+at+` FROM generate_series(1, $3::int) n`, receipt.Book, receipt.ID, n); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/v1/requests/reward:grant/w1"
	conflicts(5, "now()") // at one time
	ledgertest.Applied(t, d.Apply(t, receipt)...)
	if all := pages[ledger.Event](t, d, path+"/timeline"); len(all) != 7 || all[0].Event != "accepted" || !all[6].Outcome {
		t.Errorf("timeline %+v", all)
	}
	conflicts(300, "clock_timestamp()")
	var record intake.RequestRecord
	d.do(t, http.MethodGet, path, nil).decode(t, &record)
	if record.MoreEvents != path+"/timeline" || record.MoreTransfers != "" {
		t.Fatalf("the record names %q and %q", record.MoreEvents, record.MoreTransfers)
	}
	whole := pages[ledger.Event](t, d, record.MoreEvents+"?limit=500")
	for _, limit := range []int{2, 7, 50} {
		all := pages[ledger.Event](t, d, fmt.Sprintf("%s/timeline?limit=%d", path, limit))
		if len(all) != record.Events {
			t.Fatalf("%d of %d events", len(all), record.Events)
		}
		for i, event := range all {
			if event.Event != whole[i].Event || event.Detail != whole[i].Detail || !event.At.Equal(whole[i].At) {
				t.Fatalf("by %d, event %d is %+v, want %+v", limit, i, event, whole[i])
			}
		}
	}
	parked := d.Accept(t, ledgertest.Refund("rf1", "nosuch", "u1", "1.00"))[0]
	if answer := d.Apply(t, parked)[0]; answer.Fate != ledger.Parked {
		t.Fatalf("%+v", answer)
	}
	events := pages[ledger.Event](t, d, "/v1/requests/refund:apply/rf1/timeline?limit=1")
	if len(events) != 2 || events[1].Event != "parked" || events[1].Outcome {
		t.Errorf("of a parked request: %+v", events)
	}
	if transfers := pages[ledger.Posted](t, d, "/v1/requests/refund:apply/rf1/transfers"); len(transfers) != 0 {
		t.Errorf("a parked request has moved %+v", transfers)
	}
}

// The sum of a cursor is made of what is asked, so anybody can make one.
func TestPagesOfARequestRefuseWhatIsNoPlaceInThem(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Reward("w1", "u1", "1.00"))...)
	for _, c := range []struct {
		list, position string
		status         int
	}{
		{"timeline", `{"At":"0001-01-01T00:00:00Z","Skip":1}`, http.StatusOK},
		{"timeline", `{"At":"9999-12-31T23:59:59Z","Skip":0}`, http.StatusOK},
		{"timeline", `{"At":"2026-01-01T00:00:00Z","Skip":-1}`, http.StatusUnprocessableEntity},
		{"timeline", `{"At":"2026-01-01T00:00:00Z","Skip":9007199254740993}`, http.StatusUnprocessableEntity},
		{"timeline", `7`, http.StatusUnprocessableEntity},
		{"transfers", `9223372036854775807`, http.StatusOK},
		{"transfers", `-9223372036854775808`, http.StatusOK},
		{"transfers", `"x"`, http.StatusUnprocessableEntity},
	} {
		list, err := json.Marshal([]string{c.list, "reward:grant", "w1"})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(list)
		cursor := base64.RawURLEncoding.EncodeToString(append(sum[:6:6], c.position...))
		got := d.do(t, http.MethodGet, "/v1/requests/reward:grant/w1/"+c.list+"?cursor="+cursor, nil)
		if got.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.list, c.position, got.status, got.body, c.status)
		}
	}
	for path, status := range map[string]int{"reward:grant/w1/transfers?limit=0": 422, "reward:grant/w1/timeline?cursor=x": 422,
		"no:such/w1/timeline": 422, "reward:grant/none/transfers": 404, "reward:grant/%FF/timeline": 404} {
		d.do(t, http.MethodGet, "/v1/requests/"+path, nil).problem(t, status)
	}
}
