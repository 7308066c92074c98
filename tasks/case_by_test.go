package tasks_test

import (
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/tasks"
)

// What the policy decides is told as settled's decision: nobody else decides in that name.
func TestNobodyDecidesACaseInTheNameOfSettled(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	client, err := tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	const id = "0.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0"
	for _, by := range []string{"settled", " Settled "} {
		for _, payload := range []tasks.Payload{
			&tasks.CaseCredit{CaseID: id, UserID: "u1", By: by, Note: "n"},
			&tasks.CaseReturn{CaseID: id, By: by, Note: "n"},
			&tasks.CaseClosing{CaseID: id, Statement: tasks.PaidAtChannel, By: by, Note: "n"},
		} {
			_, err := client.Enqueue(t.Context(), payload)
			var bad *tasks.FieldError
			if !errors.As(err, &bad) || bad.Field != "by" {
				t.Errorf("%s by %q: %v", payload.Kind(), by, err)
			}
		}
	}
	// The rule that asks in that name does not go through a client.
	if _, err := tasks.NewRequest(&tasks.CaseReturn{CaseID: id, By: tasks.BySettled, Note: "n"}, 1, time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
}
