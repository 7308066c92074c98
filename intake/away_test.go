package intake_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
)

func TestAnAPIWithoutBooksDescribesItselfAndSendsEverythingElseAway(t *testing.T) {
	t.Parallel()
	handler := intake.NewAway("v1", nil)
	ask := func(method, path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(method, path, strings.NewReader("{}")))
		return answer
	}
	for _, path := range []string{"/docs", "/docs/page.css", "/openapi.json"} {
		if got := ask(http.MethodGet, path); got.Code != http.StatusOK || got.Body.Len() == 0 {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	for _, path := range append(intake.BusiestPaths(), "/v1/requests", "/v1/notices/wechat", "/v1/users/u1/balances", "/documents") {
		got := ask(http.MethodPost, path)
		var problem intake.Problem
		if err := json.Unmarshal(got.Body.Bytes(), &problem); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got.Code != http.StatusServiceUnavailable || problem.Type != "urn:settled:problem:unavailable" || got.Header().Get("Retry-After") != "1" ||
			got.Header().Get("Content-Type") != "application/problem+json" || got.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %+v", path, got.Code, got.Header(), problem)
		}
	}
}

func TestAnAPIWithoutBooksLeavesItsAnswersToChannelsToTheirDoor(t *testing.T) {
	t.Parallel()
	handler := intake.NewAway("v1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(r.PathValue("channel")))
	}))
	for call, want := range map[string]int{"POST /v1/notices/alipay": http.StatusTeapot, "GET /v1/notices/alipay": http.StatusServiceUnavailable,
		"POST /v1/notices": http.StatusServiceUnavailable, "GET /v1/requests": http.StatusServiceUnavailable, "GET /docs": http.StatusOK} {
		method, path, _ := strings.Cut(call, " ")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
		if answer.Code != want || want == http.StatusTeapot && (answer.Body.String() != "alipay" || answer.Header().Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %d %v %s, want %d", call, answer.Code, answer.Header(), answer.Body, want)
		}
	}
}
