package intake_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestEncodedBodiesAreRefusedByTheirName(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, c := range []struct{ path, mediaType, body string }{
		{"/v1/requests/recharge:confirm", "application/json", recharge("rc1", "u1", "1.00")},
		{bulkRecharges, "application/json", "[" + recharge("rc2", "u1", "1.00") + "]"},
		{bulkRecharges, "application/x-ndjson", recharge("rc3", "u1", "1.00")},
		{"/v1/recharge-orders", "application/json", `{"recharge_id":"rc4","user_id":"u1","channel":"wechat","amount":"1.00"}`},
	} {
		for _, encoding := range []string{"gzip", "br", "identity, gzip", "Identity", ""} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", c.mediaType)
			if encoding != "" {
				request.Header.Set("Content-Encoding", encoding)
			}
			got := d.send(t, request)
			if encoding == "" || encoding == "Identity" {
				if got.status >= http.StatusBadRequest {
					t.Errorf("%s, %q: %d %s", c.path, encoding, got.status, got.body)
				}
				continue
			}
			if problem := got.problem(t, http.StatusUnsupportedMediaType); !strings.Contains(problem.Detail, "Content-Encoding") {
				t.Errorf("%s, %q: %+v", c.path, encoding, problem)
			}
		}
	}
}
