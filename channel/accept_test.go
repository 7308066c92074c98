package channel_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// differing accepts revisions, and finds that answers differ from what is stored in some fields.
type differing struct {
	fields []tasks.Diff
	asked  []tasks.Kind
	failed error // of a revision
}

func (d *differing) Enqueue(_ context.Context, payload tasks.Payload) (tasks.Receipt, error) {
	d.asked = append(d.asked, payload.Kind())
	if payload.Kind() == tasks.RefundAnswer && len(d.fields) > 0 {
		receipt := tasks.Receipt{Kind: payload.Kind(), Status: tasks.Conflicting, Fields: d.fields}
		return receipt, &tasks.ConflictError{Receipt: receipt}
	}
	return tasks.Receipt{Kind: payload.Kind(), Status: tasks.Accepted}, d.failed
}

// Only a success after a failure is accepted as a revision: whatever else differs is for a person.
func TestOnlyASuccessAfterAFailureRevisesAnAnswer(t *testing.T) {
	t.Parallel()
	paid := tasks.Diff{Field: "result", Stored: `"failed"`, Asked: `"succeeded"`}
	reason := tasks.Diff{Field: "reason", Stored: `"ABNORMAL"`, Asked: "absent"}
	for name, c := range map[string]struct {
		fields  []tasks.Diff
		revises bool
	}{
		"success after failure":     {[]tasks.Diff{{Field: "occurred_at", Stored: `"a"`, Asked: `"b"`}, reason, paid}, true},
		"of the same time":          {[]tasks.Diff{paid}, true},
		"failure after success":     {[]tasks.Diff{{Field: "result", Stored: `"succeeded"`, Asked: `"failed"`}}, false},
		"another reason":            {[]tasks.Diff{reason}, false},
		"an end nobody knows":       {[]tasks.Diff{{Field: "result", Stored: `"reversed"`, Asked: `"succeeded"`}}, false},
		"and another amount":        {[]tasks.Diff{{Field: "amount", Stored: `"6.00"`, Asked: `"6.01"`}, reason, paid}, false},
		"and another user after":    {[]tasks.Diff{paid, {Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}, false},
		"the same answer, a replay": {nil, false},
	} {
		acceptor := &differing{fields: c.fields}
		receipt, err := channel.Accept(t.Context(), acceptor, &tasks.RefundResult{Number: "rf01", Result: tasks.RefundSucceeded})
		if c.revises != slices.Contains(acceptor.asked, tasks.RefundRevise) || c.revises != (receipt.Kind == tasks.RefundRevise) {
			t.Errorf("%s: asked for %q, the receipt is of %s", name, acceptor.asked, receipt.Kind)
		}
		if conflicts := errors.As(err, new(*tasks.ConflictError)); conflicts != (!c.revises && c.fields != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRevisionThatIsNotAcceptedIsAnError(t *testing.T) {
	t.Parallel()
	down := errors.New("no answer")
	acceptor := &differing{fields: []tasks.Diff{{Field: "result", Stored: `"failed"`, Asked: `"succeeded"`}}, failed: down}
	if _, err := channel.Accept(t.Context(), acceptor, &tasks.RefundResult{Number: "rf01", Result: tasks.RefundSucceeded}); !errors.Is(err, down) {
		t.Errorf("error %v, want %v", err, down)
	}
}
