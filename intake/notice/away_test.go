package notice_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

func TestEveryChannelIsToldInItsOwnFormToComeAgainWhileThereAreNoBooks(t *testing.T) {
	t.Parallel()
	clock := clock.NewManual(ledgertest.Noon)
	says := map[string]struct{ contentType, body string }{
		"wechat":   {"application/json", `{"code":"FAIL"`},
		"alipay":   {"text/plain", "fail"},
		"unionpay": {"text/plain; charset=utf-8", "try again later"},
		"ecny":     {"application/json", `"returnCode":"FAIL"`},
	}
	for _, kind := range dialects.All() {
		dialect, err := kind.New(clock)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := simulate.WriteSettings(dir, dialect, "http://127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		ports, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		door := http.NewServeMux()
		door.Handle("POST /v1/notices/{channel}", notice.NewAway(ports, clock))
		for source, want := range says {
			answer := httptest.NewRecorder()
			door.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/v1/notices/"+source, strings.NewReader("{}")))
			if source != string(kind.Source) {
				if answer.Code != http.StatusNotFound {
					t.Errorf("%s, which is not configured: %d %s", source, answer.Code, answer.Body)
				}
				continue
			}
			if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Content-Type") != want.contentType ||
				!strings.Contains(answer.Body.String(), want.body) || dialect.Acknowledged(answer.Code, answer.Body.Bytes()) {
				t.Errorf("%s: %d %v %s", source, answer.Code, answer.Header(), answer.Body)
			}
		}
	}
}
