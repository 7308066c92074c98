package intake_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
)

// leftConnection is one whose client has left before it reads anything.
type leftConnection struct{ *httptest.ResponseRecorder }

// Write implements http.ResponseWriter.
func (leftConnection) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

func TestClientThatLeavesAStreamIsNoTroubleOfPostgres(t *testing.T) {
	t.Parallel()
	d := open(t)
	var log bytes.Buffer
	api := intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Access: access.NewGuard(access.Config{Pool: d.DB.Pool}),
		Recharges: rechargeOrders(d.Books), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	call := httptest.NewRequestWithContext(t.Context(), http.MethodPost, bulkRecharges, strings.NewReader(recharge("rc1", "u1", "1.00")+"\n"))
	call.Header.Set("Authorization", "Bearer "+accesstest.Key(t, d.DB, "shop", access.RechargesWrite))
	call.Header.Set("Content-Type", "application/x-ndjson")
	api.ServeHTTP(leftConnection{httptest.NewRecorder()}, call)
	if d.stored(t) != 1 || log.Len() > 0 {
		t.Errorf("%d requests stored, logged %s", d.stored(t), log.String())
	}
}
