package intake_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// outstandingKeys pages through the requests of a query, and returns their keys in alphabetical order.
func (d door) outstandingKeys(t *testing.T, query string) string {
	t.Helper()
	var keys []string
	for path := "/v1/requests?limit=2" + query; path != ""; {
		var page intake.OutstandingPage
		got := d.do(t, http.MethodGet, path, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		got.decode(t, &page)
		for _, item := range page.Items {
			keys = append(keys, item.Key)
		}
		if path = ""; page.Next != "" {
			path = "/v1/requests" + linked(t, got)
		}
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func TestOutstandingRequestsAreListedByStateToWhomTheyConcern(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc0", "u1", "1.00"))...)
	for i := range 3 {
		if answer := d.Do(t, ledgertest.Refund(fmt.Sprintf("rf%d", i), "o1", "u1", "1.00"))[0]; answer.Fate != ledger.Parked {
			t.Fatalf("refund before its payment: %+v", answer)
		}
		d.Accept(t, ledgertest.Recharge(fmt.Sprintf("rc%d", i+1), "u1", "1.00"))
	}
	shopKey := accesstest.Key(t, d.DB, "shop", access.Read, access.RechargesWrite)
	shop := d.as(shopKey)
	if got := shop.do(t, http.MethodPost, "/v1/requests/recharge:confirm", strings.NewReader(recharge("of-shop", "u1", "1.00"))); got.status !=
		http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, c := range []struct {
		door        door
		query, want string
	}{
		{d, "&state=parked", "rf0 rf1 rf2"}, {d, "&state=accepted", "of-shop rc1 rc2 rc3"}, {d, "&state=dead", ""},
		{d, "", "of-shop rc1 rc2 rc3 rf0 rf1 rf2"}, {d, "&kind=refund:apply", "rf0 rf1 rf2"}, {d, "&producer=shop", "of-shop"},
		{shop, "", "of-shop"}, {shop, "&state=parked", ""}, {shop, "&producer=shop", "of-shop"},
	} {
		if got := c.door.outstandingKeys(t, c.query); got != c.want {
			t.Errorf("%q: %s, want %s", c.query, got, c.want)
		}
	}
	problem := shop.do(t, http.MethodGet, "/v1/requests?producer=test", nil).problem(t, http.StatusUnprocessableEntity)
	if problem.Errors[0].Field != "producer" {
		t.Errorf("another's requests: %+v", problem)
	}
}

// The sum of a cursor is made of what is asked, so anybody can make one.
func TestCursorOfABookThatIsNotIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	list, err := json.Marshal([]string{"requests", "", "", ""})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(list)
	for position, status := range map[string]int{
		`{"Book":0,"ID":"00000000-0000-0000-0000-000000000000"}`:       http.StatusOK,
		`{"Book":100000,"ID":"00000000-0000-0000-0000-000000000000"}`:  http.StatusUnprocessableEntity,
		`{"Book":-100000,"ID":"00000000-0000-0000-0000-000000000000"}`: http.StatusUnprocessableEntity,
		`{"Book":1024,"ID":"00000000-0000-0000-0000-000000000000"}`:    http.StatusUnprocessableEntity,
		`{"Book":-1,"ID":"00000000-0000-0000-0000-000000000000"}`:      http.StatusUnprocessableEntity,
	} {
		got := d.do(t, http.MethodGet, "/v1/requests?cursor="+base64.RawURLEncoding.EncodeToString(append(sum[:6:6], position...)), nil)
		if got.status != status {
			t.Errorf("%s: %d %s, want %d", position, got.status, got.body, status)
		} else if status != http.StatusOK {
			if problem := got.problem(t, status); problem.Errors[0].Field != "cursor" {
				t.Errorf("%s: %+v, want the cursor named", position, problem)
			}
		}
	}
}
