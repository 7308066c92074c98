package intake_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestEveryOperationRefusesWhatItsQueryDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, op := range d.operations(t) {
		op.path += "?limti=1"
		problem := d.call(t, op).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != "limti" || !strings.Contains(problem.Errors[0].Allowed, "parameters") {
			t.Errorf("%s: %+v", op.id, problem)
		}
	}
}

func TestQueriesWithTwoReadingsAreRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	for query, field := range map[string]string{"limit=1&limit=2": "limit", "limit=%zz": "query", "limit=1;cursor=x": "query", "Limit=1": "Limit",
		"%FF=1": "\uFFFD", "=1": "", strings.Repeat("x", 5000): strings.Repeat("x", 64)} {
		problem := d.do(t, http.MethodGet, "/v1/requests?"+query, nil).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != field || !strings.Contains(problem.Errors[0].Allowed, "limit, cursor") {
			t.Errorf("%.40s: %+v", query, problem)
		}
	}
	if got := d.do(t, http.MethodGet, "/v1/requests?limit=&cursor=", nil); got.status != http.StatusOK {
		t.Errorf("empty values: %d %s", got.status, got.body)
	}
}
