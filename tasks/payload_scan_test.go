package tasks

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// usual are texts that producers write, and some that are next to them.
var usual = []struct {
	kind    Kind
	text    string
	scanned bool
}{
	{RefundApply, `{"refund_id":"r","order_id":"o","user_id":"u","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`, true},
	{RefundApply, " {\n \"refund_id\" : \"r\",\t\"order_id\":\"o\",\"user_id\":\"ü\",\"amount\":\"1\",\"lines\":[ {\"line_id\":\"l\",\"amount\":\"1.0\"} ," +
		"{\"amount\":\"2\",\"line_id\":\"m\"}],\"occurred_at\":\"2026-03-02T04:00:00.000001Z\"}\r\n", true},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p"}`, true},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p","product_id":"p"}`, false},
	{SweepRun, `{"business_date":"2026-03-02"}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p",}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p"}{}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p","v":1}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p","x":"y"}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"\u0070"}`, false},
	{SweepRun, "{\"business_date\":\"2026-03-02\",\"product_id\":\"\x01\"}", false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":7}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":null}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"p"`, false},
	{SweepRun, `{"business_date":"2026-03-02""product_id":"p"}`, false},
	{SweepRun, `{"business_date":"2026-03-02","product_id":"`, false},
	{SweepRun, `{}`, false}, {SweepRun, `{`, false}, {SweepRun, ``, false}, {SweepRun, `[]`, false}, {SweepRun, `"x"`, false},
	{RefundApply, `{"refund_id":"r","order_id":"o","user_id":"u","amount":"1e2","occurred_at":"2026-03-02T12:00:00+08:00"}`, false},
	{RefundApply, `{"refund_id":"r","order_id":"o","user_id":"u","amount":"1","lines":[],"occurred_at":"2026-03-02T12:00:00+08:00"}`, false},
	{RefundApply, `{"refund_id":"r","order_id":"o","user_id":"u","amount":"1","occurred_at":"2026-03-02"}`, false},
	{PaymentCapture, `{"order_id":"o","user_id":"u","merchant_id":"m","legs":[{"source":"cash","amount":"1"}],"occurred_at":"2026-03-02T12:00:00Z"}`, true},
	{PaymentCapture, `{"order_id":"o","user_id":"u","merchant_id":"m","legs":[{"source":"cash","amount":"1"}],"balance_exclusive":true,` +
		`"occurred_at":"2026-03-02T12:00:00Z"}`, false},
}

// scanLike fails the test unless a text that is scanned is also judged good, with the same content.
func scanLike(t *testing.T, kind Kind, text string) (scanned bool) {
	t.Helper()
	fast, slow, stored := kinds[kind].blank(), kinds[kind].blank(), kinds[kind].blank()
	if !scanObject([]byte(text), reflect.ValueOf(fast).Elem()) {
		return false
	}
	if err := judgeObject([]byte(text), reflect.ValueOf(slow).Elem()); err != nil {
		t.Errorf("%s %q is scanned, and refused: %v", kind, text, err)
	}
	if diff := cmp.Diff(slow, fast); diff != "" {
		t.Errorf("%s %q (-judged +scanned):\n%s", kind, text, diff)
	}
	if err := json.Unmarshal([]byte(text), stored); err != nil {
		t.Errorf("%s %q is scanned, and json refuses it: %v", kind, text, err)
	}
	if diff := cmp.Diff(stored, fast); diff != "" {
		t.Errorf("%s %q (-json +scanned):\n%s", kind, text, diff)
	}
	return true
}

func TestUsualPayloadsAreScannedAsTheyAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range usual {
		if got := scanLike(t, c.kind, c.text); got != c.scanned {
			t.Errorf("%s %s: scanned %t, want %t", c.kind, c.text, got, c.scanned)
		}
	}
}

func TestWhatTheScanLeftBehindIsForgotten(t *testing.T) {
	t.Parallel()
	text := `{"refund_id":"r","lines":[{"line_id":"l","amount":"1"}],"order_id":"o","user_id":"u","amount":"1","reason":"\u00fc",` +
		`"occurred_at":"2026-03-02T12:00:00+08:00","lines":[]}`
	if payload, err := ParsePayload(RefundApply, []byte(text)); err == nil {
		t.Errorf("a field that is given twice: %+v", payload)
	}
	text = `{"refund_id":"r","order_id":"o","user_id":"u","amount":"1.00","reason":"\u00fc","occurred_at":"2026-03-02T12:00:00+08:00"}`
	payload, err := ParsePayload(RefundApply, []byte(text))
	if refund, ok := payload.(*Refund); err != nil || !ok || refund.Reason != "ü" || refund.Lines != nil {
		t.Errorf("%+v, %v", payload, err)
	}
}

func FuzzPayloadIsScannedAsItIsJudged(f *testing.F) {
	for _, c := range usual {
		f.Add(string(c.kind), c.text)
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		if Kind(kind).Known() && utf8.ValidString(text) {
			scanLike(t, Kind(kind), text)
		}
	})
}

func BenchmarkParsePayload(b *testing.B) {
	text := []byte(usual[0].text)
	b.Run("scanned", func(b *testing.B) {
		for b.Loop() {
			if _, err := ParsePayload(RefundApply, text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("judged", func(b *testing.B) {
		for b.Loop() {
			if err := judgeObject(text, reflect.ValueOf(new(Refund)).Elem()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
