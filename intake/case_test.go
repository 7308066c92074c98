package intake_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func (d door) suspend(t *testing.T, txns ...string) {
	t.Helper()
	for _, txn := range txns {
		ledgertest.Applied(t, d.Do(t, &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: txn, OutTradeNo: "RC1", Cause: tasks.UnknownOrder,
			Amount: ledgertest.Yuan("3.00"), OccurredAt: ledgertest.Noon})...)
	}
}

// caseKeys pages through the cases of a query, and returns what opened them.
func (d door) caseKeys(t *testing.T, query string) (keys []string, last ledger.CaseRecord) {
	t.Helper()
	for path := "/v1/cases?limit=2" + query; path != ""; {
		var page intake.CasePage
		got := d.do(t, http.MethodGet, path, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		got.decode(t, &page)
		for i := range page.Items {
			keys, last = append(keys, page.Items[i].Opened.Key), page.Items[i]
		}
		if path = ""; page.Next != "" {
			path = "/v1/cases" + linked(t, got)
		}
	}
	return keys, last
}

func TestCasesAreListedAndDecidedOverHTTP(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.suspend(t, "t1", "t2", "t3")
	keys, last := d.caseKeys(t, "&open=true&kind=unmatched_recharge")
	if got := strings.Join(keys, " "); got != "wechat/t1 wechat/t2 wechat/t3" {
		t.Fatalf("listed %s", got)
	}
	body := fmt.Sprintf(`{"case_id":%q,"user_id":"u1","by":"ada","note":"hers"}`, last.ID)
	if got := d.do(t, http.MethodPost, "/v1/requests/case:credit", strings.NewReader(body)); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	// The books decide it: asking is a replay from here on.
	ledgertest.Applied(t, d.Do(t, &tasks.CaseCredit{CaseID: last.ID, UserID: "u1", By: "ada", Note: "hers"})...)
	d.Settle(t) // the payment of no order is beside its number, and u1 in another book
	d.Expect(t, ledger.UserCash("u1"), "3.00")
	if keys, _ := d.caseKeys(t, "&open=true"); len(keys) != 2 {
		t.Errorf("open are %v", keys)
	}
	if keys, _ := d.caseKeys(t, ""); len(keys) != 3 {
		t.Errorf("all are %v", keys)
	}
	var found ledger.CaseRecord
	d.do(t, http.MethodGet, "/v1/cases/"+last.ID, nil).decode(t, &found)
	if found.Closing == nil || found.Closing.Kind != tasks.CreditCase || found.Closing.By != "ada" || found.Closing.Note != "hers" {
		t.Errorf("closed by %+v", found.Closing)
	}
}

func TestCasesAreForAdminAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.suspend(t, "t1")
	_, found := d.caseKeys(t, "")
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.Read, access.RefundsWrite, access.RechargesWrite))
	body := fmt.Sprintf(`{"case_id":%q,"by":"ada","note":"x"}`, found.ID)
	for _, asked := range []func() answer{
		func() answer { return shop.do(t, http.MethodGet, "/v1/cases", nil) },
		func() answer { return shop.do(t, http.MethodGet, "/v1/cases/"+found.ID, nil) },
		func() answer {
			return shop.do(t, http.MethodPost, "/v1/requests/case:return", strings.NewReader(body))
		},
	} {
		asked().problem(t, http.StatusForbidden)
	}
}

func TestWrongQuestionsAboutCasesAreRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	for query, field := range map[string]string{"open=yes": "open", "kind=lost": "kind", "limit=0": "limit", "cursor=AAAA": "cursor"} {
		if problem := d.do(t, http.MethodGet, "/v1/cases?"+query, nil).problem(t, http.StatusUnprocessableEntity); problem.Errors[0].Field != field {
			t.Errorf("%s: %+v", query, problem)
		}
	}
	for _, id := range []string{"x", "2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0"} {
		d.do(t, http.MethodGet, "/v1/cases/"+id, nil).problem(t, http.StatusNotFound)
	}
}
