package tasks_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// writtenAsJSON fails the test unless a payload's stored text is what encoding/json writes of it.
func writtenAsJSON(t interface {
	Helper()
	Fatalf(string, ...any)
}, payload tasks.Payload) {
	t.Helper()
	got := canonical(t, payload) // which normalizes the payload
	want, err := json.Marshal(payload)
	if err != nil || string(got) != string(want) {
		t.Fatalf("%s is stored as\n%s, encoding/json writes\n%s (%v)", payload.Kind(), got, want, err)
	}
}

func TestEveryShapeIsStoredAsEncodingJSONWritesIt(t *testing.T) {
	t.Parallel()
	for name, payload := range goldenPayloads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writtenAsJSON(t, payload)
		})
	}
}

func TestTextsAreStoredAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()
	amounts := rapid.Custom(func(t *rapid.T) money.Amount {
		return money.FromFen(rapid.Int64Range(1, 100_000_000_00).Draw(t, "fen"))
	})
	texts := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("aZ0 七天é\u2028\u2029<>&\"'\\/\u007f\ufffd\U0001f600")), rapid.Rune()))
	ids := rapid.StringMatching(`[A-Za-z0-9._:@-]{0,20}[A-Za-z0-9]`)
	times := rapid.Custom(func(t *rapid.T) time.Time {
		return instant.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "after"))).In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(t, "zone")*3600))
	})
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		refund := &tasks.Refund{RefundID: ids.Draw(t, "refund"), OrderID: ids.Draw(t, "order"), UserID: ids.Draw(t, "user"),
			Reason: texts.Draw(t, "reason"), OccurredAt: times.Draw(t, "occurred at")}
		for n := range rapid.IntRange(0, 3).Draw(t, "lines") {
			line := tasks.LineRefund{LineID: strings.Repeat("l", n+1), Amount: amounts.Draw(t, "amount")}
			refund.Amount, refund.Lines = refund.Amount.Add(line.Amount), append(refund.Lines, line)
		}
		if refund.Lines == nil {
			refund.Amount = amounts.Draw(t, "amount")
		}
		if tasks.Validate(refund) != nil {
			return // a text with a control character, or too long
		}
		taken++
		writtenAsJSON(t, refund)
	})
	if taken == 0 {
		t.Error("no refund was allowed")
	}
}
