package tasks_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

func TestCaseHasOneID(t *testing.T) {
	t.Parallel()
	ref, err := tasks.ParseCaseID(caseID)
	if err != nil || ref.String() != caseID || ref.Book != 2 || ref.Ordinal != 0 {
		t.Errorf("%q is read as %+v: %v", caseID, ref, err)
	}
	for _, id := range []string{"", "2", "02" + caseID[1:], "+2" + caseID[1:], "-1" + caseID[1:], "32768" + caseID[1:], strings.ToUpper(caseID),
		caseID + "0.0", caseID + ".0", strings.ReplaceAll(caseID, "-", ""), strings.TrimSuffix(caseID, ".0"), " " + caseID} {
		var bad *tasks.FieldError
		if _, err := tasks.ParseCaseID(id); !errors.As(err, &bad) || bad.Field != "case_id" {
			t.Errorf("%q is read: %v", id, err)
		}
		if err := tasks.Validate(&tasks.CaseReturn{CaseID: id, By: "ada", Note: "x"}); !errors.As(err, &bad) || bad.Field != "case_id" {
			t.Errorf("a return of %q is accepted: %v", id, err)
		}
	}
}

func TestDecisionsOfCasesSayWhoAndWhy(t *testing.T) {
	t.Parallel()
	for field, payload := range map[string]tasks.Payload{
		"by":        &tasks.CaseCredit{CaseID: caseID, UserID: "u1", Note: "x"},
		"note":      &tasks.CaseReturn{CaseID: caseID, By: "ada"},
		"statement": &tasks.CaseClosing{CaseID: caseID, Statement: "gone", By: "ada", Note: "x"},
		"user_id":   &tasks.CaseCredit{CaseID: caseID, By: "ada", Note: "x"},
	} {
		var bad *tasks.FieldError
		if err := tasks.Validate(payload); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What is of a case is of no user: both would have it in two books.
func TestNumberIsOfAUserOrOfACase(t *testing.T) {
	t.Parallel()
	order := tasks.RefundOrder{Number: "rc01", UserID: "u1", CaseID: caseID, Channel: tasks.SourceWeChat, Amount: yuan("1.00"), OccurredAt: instant}
	if err := tasks.Validate(&order); err == nil {
		t.Error("a refund order of a user and of a case is accepted")
	}
	order.UserID = ""
	request, err := tasks.NewRequest(&order, 4, instant)
	if err != nil || request.Book != 2 || request.Key != "rc01" {
		t.Errorf("a case's is %+v: %v", request, err)
	}
	if _, err := tasks.NewRequest(&order, 2, instant); err == nil {
		t.Error("a case of a book that is not there is accepted")
	}
}
