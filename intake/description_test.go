package intake_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// description is what these tests read of the API's.
type description struct {
	Paths      map[string]map[string]describedOperation
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Pattern     string
				MaxLength   int
				Description string
			}
		}
	}
}

type describedOperation struct {
	OperationID string
	RequestBody json.RawMessage
	Parameters  []struct {
		Name, In string
		Schema   struct{ Pattern string }
	}
	Responses map[string]struct{ Headers map[string]any }
}

func (d door) description(t *testing.T) description {
	t.Helper()
	var described description
	d.do(t, http.MethodGet, "/openapi.json", nil).decode(t, &described)
	return described
}

func TestDescriptionNamesEveryRefusalWithItsHeaders(t *testing.T) {
	t.Parallel()
	for path, methods := range open(t).description(t).Paths {
		for method, o := range methods {
			for status, header := range map[string]string{"401": "WWW-Authenticate", "403": "WWW-Authenticate", "429": "Retry-After",
				"503": "Retry-After", "500": "", "422": ""} {
				response, told := o.Responses[status]
				if !told {
					t.Errorf("%s %s does not tell of %s", method, path, status)
				}
				if _, has := response.Headers[header]; header != "" && !has {
					t.Errorf("%s %s: %s without %s", method, path, status, header)
				}
			}
			takesBody := o.RequestBody != nil
			if _, told := o.Responses["400"]; told != takesBody {
				t.Errorf("%s %s: 400 is told: %t, it takes a body: %t", method, path, told, takesBody)
			}
		}
	}
}

func TestDescriptionSaysWhatIdsAndAmountsMayBe(t *testing.T) {
	t.Parallel()
	described := open(t).description(t)
	refund := described.Components.Schemas["Refund"].Properties
	if id := refund["refund_id"]; id.MaxLength != 64 || !regexp.MustCompile(id.Pattern).MatchString("a.B_1:@-") ||
		regexp.MustCompile(id.Pattern).MatchString("a/b") {
		t.Errorf("refund_id is described as %+v", id)
	}
	if at := refund["occurred_at"]; !strings.Contains(at.Description, "up to a day ahead") {
		t.Errorf("occurred_at is described as %+v", at)
	}
	for pattern, amounts := range map[string]map[string]bool{
		refund["amount"].Pattern: {"0.01": true, "0.1": true, "0.10": true, "12.30": true, "7": true, "0.00": false, "0": false, "0.0": false,
			"1.234": false, "1e2": false, "": false},
		described.Components.Schemas["Enrolment"].Properties["keep_amount"].Pattern: {"0.00": true, "0": true, "12.30": true, "-1": false},
	} {
		for amount, allowed := range amounts {
			if regexp.MustCompile(pattern).MatchString(amount) != allowed {
				t.Errorf("%s allows %q: %t", pattern, amount, !allowed)
			}
		}
	}
	for path, methods := range described.Paths {
		for _, o := range methods {
			for _, p := range o.Parameters {
				if p.In == "path" && strings.HasSuffix(p.Name, "_id") && p.Schema.Pattern == "" {
					t.Errorf("%s: %s has no pattern", path, p.Name)
				}
			}
		}
	}
}

func TestDescriptionSaysThatANoticeHasABody(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	books := ledgertest.OpenOn(t, db)
	d := door{Books: books}
	d.url = serve(t, intake.NewAPI(intake.Config{Client: books.Client, Reader: books.Reader, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(books), Notices: http.NotFoundHandler()}))
	if o := d.description(t).Paths["/v1/notices/{channel}"]["post"]; o.RequestBody == nil {
		t.Errorf("the notice is described as %+v", o)
	}
}
