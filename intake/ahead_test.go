package intake_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func sweepOf(date string) string {
	return fmt.Sprintf(`{"product_id":"xiaojinku","business_date":%q}`, date)
}

// Nobody uses up the limits of days that have not come.
func TestTransferOfADayThatHasNotComeIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	transfer := func(id string, ahead time.Duration) string {
		return fmt.Sprintf(`{"transfer_id":%q,"from_user_id":"u1","to_user_id":"u2","amount":"1.00","occurred_at":%q}`, id,
			clock.System.Now().Add(ahead).Format(time.RFC3339))
	}
	problem := d.post(t, tasks.TransferSend, transfer("t1", 48*time.Hour)).problem(t, http.StatusUnprocessableEntity)
	if problem.Errors[0].Field != "occurred_at" || !strings.Contains(problem.Errors[0].Problem, "has not come yet") {
		t.Errorf("problem %+v", problem)
	}
	var answer intake.ListAnswer
	d.do(t, http.MethodPost, "/v1/requests/transfer:send/bulk", listOf(transfer("t1", 48*time.Hour), transfer("t2", 23*time.Hour))).decode(t, &answer)
	if answer.Refused != 1 || answer.Accepted != 1 || answer.Items[0].Error == nil || answer.Items[0].Error.Field != "occurred_at" {
		t.Errorf("list: %+v", answer)
	}
}

func TestSweepOfANightThatHasNotComeIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	d := door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "ops", access.Admin)}
	// 23:59 in Shanghai on the second of March; in UTC it is the afternoon.
	manual := clock.NewManual(time.Date(2026, 3, 2, 15, 59, 0, 0, time.UTC))
	server := httptest.NewServer(intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Recharges: rechargeOrders(d.Books),
		Access: access.NewGuard(access.Config{Pool: db.Pool, Clock: manual}), Clock: manual}))
	t.Cleanup(server.Close)
	d.url = server.URL
	problem := d.post(t, tasks.SweepRun, sweepOf("2026-03-03")).problem(t, http.StatusUnprocessableEntity)
	if problem.Errors[0].Field != "business_date" || !strings.Contains(problem.Errors[0].Allowed, "2026-03-02") {
		t.Errorf("problem %+v", problem)
	}
	var answer intake.ListAnswer
	d.do(t, http.MethodPost, "/v1/requests/sweep:run/bulk", listOf(sweepOf("2027-01-01"), sweepOf("2026-03-01"))).decode(t, &answer)
	if answer.Refused != 1 || answer.Accepted != 1 || answer.Items[0].Status != "refused" || answer.Items[0].Error.Field != "business_date" {
		t.Errorf("list: %+v", answer)
	}
	if got := d.post(t, tasks.SweepRun, sweepOf("2026-03-02")); got.status != http.StatusAccepted {
		t.Errorf("tonight: %d %s", got.status, got.body)
	}
	manual.Advance(time.Minute)
	if got := d.post(t, tasks.SweepRun, sweepOf("2026-03-03")); got.status != http.StatusAccepted {
		t.Errorf("a minute later: %d %s", got.status, got.body)
	}
}
