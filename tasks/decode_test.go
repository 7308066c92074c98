package tasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

const (
	goodPayment = `{"order_id":"o1","user_id":"u1","merchant_id":"m1","legs":[{"source":"cash","amount":"8.00"},` +
		`{"source":"wechat","amount":"2.00","channel_txn_id":"w1"}],"lines":[{"line_id":"l1","kind":"goods","amount":"12.00"},` +
		`{"line_id":"l2","kind":"coupon","amount":"2.00"}],"occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodRefund = `{"refund_id":"rf1","order_id":"o1","user_id":"u1","amount":"3.00","lines":[{"line_id":"l1","amount":"3.00"}],` +
		`"to":"origin","reason":"late","occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodRecharge = `{"recharge_id":"rc1","user_id":"u1","channel":"wechat","channel_txn_id":"w1","amount":"10.00",` +
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodSuspension = `{"channel":"wechat","channel_txn_id":"w1","out_trade_no":"RC1","amount":"10.00","cause":"wrong_amount","user_id":"u1",` +
		`"recharge_id":"rc1","occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodReward = `{"reward_id":"rw1","user_id":"u1","campaign_id":"c1","amount":"10.00","occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodSend   = `{"transfer_id":"t1","from_user_id":"u1","to_user_id":"u2","amount":"10.00","occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodEnrol  = `{"enrolment_id":"e1","user_id":"u1","product_id":"xiaojinku","keep_amount":"10.00","consent_version":"1",` +
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`
	goodSweep = `{"product_id":"xiaojinku","business_date":"2026-03-02"}`
)

var goodPayloads = map[tasks.Kind]string{
	tasks.PaymentCapture: goodPayment, tasks.RefundApply: goodRefund, tasks.RechargeConfirm: goodRecharge, tasks.RewardGrant: goodReward,
	tasks.RechargeSuspend: goodSuspension, tasks.TransferSend: goodSend, tasks.WealthEnrol: goodEnrol, tasks.SweepRun: goodSweep,
}

// put replaces a part of a text, which must be there.
func put(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if strings.Count(text, old) == 0 {
		t.Fatalf("%q is not in %s", old, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

// expectRefusal fails the test unless err is a *FieldError that names the field and says the text.
func expectRefusal(t *testing.T, err error, field, says string) {
	t.Helper()
	var refused *tasks.FieldError
	if !errors.As(err, &refused) {
		t.Fatalf("error is %v, want a *FieldError", err)
	}
	if refused.Field != field || !strings.Contains(refused.Problem, says) {
		t.Errorf("refused for %q which %s, want %q and %q", refused.Field, refused.Problem, field, says)
	}
	if refused.Allowed == "" {
		t.Errorf("%v does not say what is allowed", err)
	}
	if text := err.Error(); len(text) > 600 || strings.ContainsAny(text, "\x00\n\r\x1b") {
		t.Errorf("error is not fit for a log line: %q", text)
	}
}

func TestGoodPayloadsOfEveryKindAreRead(t *testing.T) {
	t.Parallel()
	for kind, raw := range goodPayloads {
		for _, variant := range []string{raw, " \n" + raw + "\t", `{"v":1,` + raw[1:], put(t, raw, "{", `{ `)} {
			if _, err := tasks.ParsePayload(kind, []byte(variant)); err != nil {
				t.Errorf("%s %s: %v", kind, variant, err)
			}
		}
	}
}

// Every amount field of every shape refuses the same texts.
func TestAmountsThatAreNotPositiveYuanAreRefused(t *testing.T) {
	t.Parallel()
	texts := []struct{ json, says string }{
		{`"0"`, "is 0.00"}, {`"0.00"`, "is 0.00"}, {`"-0.00"`, "is 0.00"}, {`"-1.00"`, "is -1.00"},
		{`"0.001"`, "more than 2 decimal places"}, {`"1.000"`, "more than 2 decimal places"},
		{`"100000000000.01"`, "out of range"}, {`"99999999999999999999"`, "out of range"}, {`"9223372036854775807"`, "out of range"},
		{`"1e2"`, "exponent"}, {`"1E-30"`, "exponent"}, {`"1e-30"`, "exponent"},
		{`10`, "the JSON number"}, {`10.00`, "the JSON number"}, {`1e1`, "the JSON number"}, {`9007199254740993`, "the JSON number"},
		{`"+1.00"`, "plus sign"}, {`" 1.00"`, "a space"}, {`"1,000.00"`, "not a digit"}, {`"01.00"`, "leading zero"},
		{`"1."`, "not a decimal number"}, {`".5"`, "not a decimal number"}, {`""`, "is empty"}, {`"NaN"`, "not a digit"},
		{`"Infinity"`, "not a digit"}, {`"１.００"`, "not a digit"}, {`"¥1"`, "not a digit"}, {`"0x10"`, "not a digit"},
		{`null`, "is null"}, {`true`, "is true"}, {`["1.00"]`, "a list"}, {`{"fen":100}`, "an object"},
	}
	fields := []struct {
		kind       tasks.Kind
		field, old string
	}{
		{tasks.PaymentCapture, "legs[0].amount", `"8.00"`}, {tasks.PaymentCapture, "lines[0].amount", `"12.00"`},
		{tasks.RefundApply, "amount", `"3.00"`}, {tasks.RechargeConfirm, "amount", `"10.00"`}, {tasks.RechargeSuspend, "amount", `"10.00"`}, {tasks.RewardGrant, "amount", `"10.00"`},
		{tasks.TransferSend, "amount", `"10.00"`}, {tasks.WealthEnrol, "keep_amount", `"10.00"`},
	}
	for _, f := range fields {
		for _, text := range texts {
			if f.field == "keep_amount" && strings.Contains(text.says, "is 0.00") {
				continue // keeping nothing is allowed
			}
			t.Run(fmt.Sprintf("%s %s %s", f.kind, f.field, text.json), func(t *testing.T) {
				t.Parallel()
				_, err := tasks.ParsePayload(f.kind, []byte(put(t, goodPayloads[f.kind], f.old, text.json)))
				expectRefusal(t, err, f.field, text.says)
			})
		}
	}
}

func TestIDsThatCouldNotNameAnAccountAreRefused(t *testing.T) {
	t.Parallel()
	ids := []struct{ json, says string }{
		{`""`, "is missing"}, {`"` + strings.Repeat("a", 65) + `"`, "has 65 bytes"}, {`"a/b"`, "byte 2"}, {`"../x"`, "byte 3"},
		{`"a b"`, "byte 2"}, {`"a\u0000b"`, "byte 2"}, {`"a\nb"`, "byte 2"}, {`"\u001b[31m"`, "byte 1"}, {`"a\u007f"`, "byte 2"},
		{`"用户"`, "byte 1"}, {`"a\u200bb"`, "byte 2"}, {`"a\ud800b"`, "byte 2"}, {`"a'b"`, "byte 2"}, {`"a%00"`, "byte 2"}, {`"a,b"`, "byte 2"},
		{`7`, "the JSON number"}, {`null`, "is null"}, {`["a"]`, "a list"}, {`{}`, "an object"}, {`false`, "is false"},
	}
	fields := []struct {
		kind       tasks.Kind
		field, old string
	}{
		{tasks.PaymentCapture, "order_id", `"o1"`}, {tasks.PaymentCapture, "user_id", `"u1"`}, {tasks.PaymentCapture, "merchant_id", `"m1"`},
		{tasks.PaymentCapture, "lines[0].line_id", `"l1"`}, {tasks.RefundApply, "refund_id", `"rf1"`}, {tasks.RefundApply, "order_id", `"o1"`},
		{tasks.RefundApply, "user_id", `"u1"`}, {tasks.RechargeConfirm, "recharge_id", `"rc1"`}, {tasks.RechargeConfirm, "user_id", `"u1"`},
		{tasks.RechargeConfirm, "channel_txn_id", `"w1"`}, {tasks.RechargeSuspend, "channel_txn_id", `"w1"`}, {tasks.RewardGrant, "reward_id", `"rw1"`}, {tasks.RewardGrant, "campaign_id", `"c1"`},
		{tasks.TransferSend, "transfer_id", `"t1"`}, {tasks.TransferSend, "from_user_id", `"u1"`}, {tasks.TransferSend, "to_user_id", `"u2"`},
		{tasks.WealthEnrol, "enrolment_id", `"e1"`}, {tasks.SweepRun, "product_id", `"xiaojinku"`},
	}
	for _, f := range fields {
		for _, id := range ids {
			t.Run(fmt.Sprintf("%s %s %q", f.kind, f.field, id.json), func(t *testing.T) {
				t.Parallel()
				_, err := tasks.ParsePayload(f.kind, []byte(put(t, goodPayloads[f.kind], f.old, id.json)))
				expectRefusal(t, err, f.field, id.says)
			})
		}
		longest := `"` + strings.Repeat("a", 64) + `"`
		if _, err := tasks.ParsePayload(f.kind, []byte(put(t, goodPayloads[f.kind], f.old, longest))); err != nil {
			t.Errorf("%s %s of 64 bytes: %v", f.kind, f.field, err)
		}
	}
}

func TestPayloadsOfTheWrongShapeAreRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	for _, c := range []struct {
		name        string
		kind        tasks.Kind
		raw         string
		field, says string
	}{
		{"unknown field", tasks.RefundApply, put(t, goodRefund, "{", `{"amount_fen":300,`), "amount_fen", "is unknown"},
		{"unknown field of a leg", tasks.PaymentCapture, put(t, goodPayment, `{"source"`, `{"fee":"1.00","source"`), "legs[0].fee", "is unknown"},
		{"field of another kind", tasks.RechargeConfirm, put(t, goodRecharge, "{", `{"order_id":"o1",`), "order_id", "is unknown"},
		{"hostile field name", tasks.RefundApply, put(t, goodRefund, "{", `{"a\u0000\nb":1,`), `"a\x00\nb"`, "is unknown"},
		{"empty field name", tasks.RefundApply, put(t, goodRefund, "{", `{"":1,`), `""`, "is unknown"},
		{"misspelt case", tasks.RefundApply, put(t, goodRefund, `"amount":"3.00","lines"`, `"Amount":"3.00","lines"`), "Amount", "is unknown"},
		{"missing field", tasks.RefundApply, put(t, goodRefund, `"order_id":"o1",`, ""), "order_id", "is missing"},
		{"missing time", tasks.RewardGrant, put(t, goodReward, `,"occurred_at":"2026-03-02T12:00:00+08:00"`, ""), "occurred_at", "is missing"},
		{"time of the year 1", tasks.RewardGrant, put(t, goodReward, "2026-03-02T12:00:00+08:00", "0001-01-01T00:00:00Z"), "occurred_at", "of the year 1"},
		{"missing field of a leg", tasks.PaymentCapture, put(t, goodPayment, `{"source":"cash",`, "{"), "legs[0].source", "is missing"},
		{"no legs", tasks.PaymentCapture, put(t, goodPayment, `{"source":"cash","amount":"8.00"},{"source":"wechat","amount":"2.00","channel_txn_id":"w1"}`, ""), "legs", "has 0 entries"},
		{"field given twice", tasks.RefundApply, put(t, goodRefund, "{", `{"amount":"1.00",`), "amount", "is given twice"},
		{"field given twice by an escape", tasks.RefundApply, put(t, goodRefund, "{", `{"\u0061mount":"1.00",`), "amount", "is given twice"},
		{"field of a line given twice", tasks.RefundApply, put(t, goodRefund, `{"line_id"`, `{"amount":"1.00","line_id"`), "lines[0].amount", "is given twice"},
		{"version given twice", tasks.RefundApply, put(t, goodRefund, "{", `{"v":1,"v":1,`), "v", "is given twice"},
		{"version of the future", tasks.RefundApply, put(t, goodRefund, "{", `{"v":2,`), "v", `is "2"`},
		{"version zero", tasks.RefundApply, put(t, goodRefund, "{", `{"v":0,`), "v", `is "0"`},
		{"version as text", tasks.RefundApply, put(t, goodRefund, "{", `{"v":"1",`), "v", `is "1"`},
		{"version as a fraction", tasks.RefundApply, put(t, goodRefund, "{", `{"v":1.0,`), "v", `is "1.0"`},
		{"version null", tasks.RefundApply, put(t, goodRefund, "{", `{"v":null,`), "v", "nil"},
		{"nothing", tasks.RefundApply, "", "payload", "not JSON"},
		{"only spaces", tasks.RefundApply, "  \n", "payload", "not JSON"},
		{"null", tasks.RefundApply, "null", "payload", "is null"},
		{"a text", tasks.RefundApply, `"refund"`, "payload", `is "refund"`},
		{"a list", tasks.RefundApply, "[" + goodRefund + "]", "payload", "is a list"},
		{"an empty object", tasks.RefundApply, "{}", "refund_id", "is missing"},
		{"two objects", tasks.RefundApply, goodRefund + goodRefund, "payload", "more after the object"},
		{"rubbish after the object", tasks.RefundApply, goodRefund + "}", "payload", "more after the object"},
		{"a comma too many", tasks.RefundApply, put(t, goodRefund, `"late",`, `"late",,`), "payload", "not JSON"},
		{"cut off", tasks.RefundApply, goodRefund[:len(goodRefund)-1], "payload", "not JSON"},
		{"single quotes", tasks.RefundApply, strings.ReplaceAll(goodRefund, `"`, `'`), "payload", "not JSON"},
		{"a byte order mark", tasks.RefundApply, "\ufeff" + goodRefund, "payload", "not JSON"},
		{"invalid UTF-8", tasks.RefundApply, put(t, goodRefund, "late", "l\xffte"), "payload", "not valid UTF-8"},
		{"GBK", tasks.RefundApply, put(t, goodRefund, "late", "\xcd\xcb\xbf\xee"), "payload", "not valid UTF-8"},
		{"deep nesting", tasks.RefundApply, deep, "payload", "nested too deep"},
		{"deep lists", tasks.RefundApply, put(t, goodRefund, `"late"`, strings.Repeat("[", 3000)+strings.Repeat("]", 3000)), "payload", "nested too deep"},
		{"10 MB", tasks.RefundApply, put(t, goodRefund, "late", strings.Repeat("x", 10<<20)), "payload", "bytes"},
		{"10 MB of spaces", tasks.RefundApply, strings.Repeat(" ", 10<<20) + goodRefund, "payload", "bytes"},
		{"too many lines", tasks.RefundApply, put(t, goodRefund, `{"line_id":"l1","amount":"3.00"}`, `{}`+strings.Repeat(`,{}`, 200)), "lines", "has 201 entries"},
		{"too many legs", tasks.PaymentCapture, put(t, goodPayment, `{"source":"cash","amount":"8.00"}`, strings.Repeat(`{"source":"cash","amount":"8.00"},`, 8)+`{"source":"cash","amount":"8.00"}`), "legs", "has 10 entries"},
		{"lines are an object", tasks.RefundApply, put(t, goodRefund, `[{"line_id":"l1","amount":"3.00"}]`, `{}`), "lines", "is an object"},
		{"a line is a text", tasks.RefundApply, put(t, goodRefund, `{"line_id":"l1","amount":"3.00"}`, `"l1"`), "lines[0]", `is "l1"`},
		{"a flag is a text", tasks.PaymentCapture, put(t, goodPayment, "{", `{"balance_exclusive":"true",`), "balance_exclusive", `is "true"`},
		{"a flag is null", tasks.PaymentCapture, put(t, goodPayment, "{", `{"balance_exclusive":null,`), "balance_exclusive", "is null"},
		{"a producer's kind that is none", tasks.Kind("refund:pay"), goodRefund, "kind", `is "refund:pay"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := tasks.ParsePayload(c.kind, []byte(c.raw))
			expectRefusal(t, err, c.field, c.says)
		})
	}
}

func TestObjectsOfOtherShapesAreReadAsStrictly(t *testing.T) {
	t.Parallel()
	type shape struct {
		Names []string `json:"names"`
		From  int64    `json:"from,omitempty"`
	}
	var good shape
	if err := tasks.ReadObject([]byte(`{"from":9007199254740993,"names":["a","b"]}`), &good); err != nil || good.From != 1<<53+1 ||
		strings.Join(good.Names, " ") != "a b" {
		t.Errorf("%+v, %v", good, err)
	}
	for text, says := range map[string]string{
		`{}`:                       "names is missing",
		`{"names":"a"}`:            `names is "a"; allowed: a list of strings`,
		`{"names":[1]}`:            "names[0] is the JSON number",
		`{"names":[["a"]]}`:        "names[0] is a list; allowed: a string",
		`{"names":[{"a":"b"}]}`:    "names[0] is an object; allowed: a string",
		`{"names":[],"from":"1"}`:  `from is "1"; allowed: a whole number`,
		`{"names":[],"from":1.5}`:  "from is the JSON number",
		`{"names":[],"from":1e30}`: "from is the JSON number",
		`{"names":[],"from":null}`: "from is null",
		`{"names":[],"names":[]}`:  "names is given twice",
		`{"names":[],"to":1}`:      "to is unknown; allowed: the fields names, from",
		`["a"]`:                    "payload is a list",
		`{"names":["a"]} {}`:       "payload has more after the object",
		"{\"names\":[\"\xff\"]}":   "payload is not valid UTF-8",
		`{"names":[` + strings.Repeat(`"a",`, 2000) + `"a"]}`: "names has 2001 entries",
	} {
		var into shape
		if err := tasks.ReadObject([]byte(text), &into); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %s", text, err, says)
		}
	}
}
