package money_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

type refund struct {
	Amount money.Amount  `json:"amount"`
	Fee    money.Amount  `json:"fee,omitzero"`
	Tip    *money.Amount `json:"tip,omitempty"`
}

func TestAmountIsAJSONString(t *testing.T) {
	t.Parallel()
	tip := money.FromFen(5)
	for _, c := range []struct {
		value refund
		want  string
	}{
		{refund{}, `{"amount":"0.00"}`},
		{refund{Amount: money.FromFen(1230)}, `{"amount":"12.30"}`},
		{refund{Amount: money.FromFen(-1), Fee: money.FromFen(1), Tip: &tip}, `{"amount":"-0.01","fee":"0.01","tip":"0.05"}`},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("Marshal = %s, %v, want %s", got, err, c.want)
		}
		var back refund
		if err := json.Unmarshal(got, &back); err != nil {
			t.Errorf("Unmarshal(%s): %v", got, err)
		}
		if diff := cmp.Diff(c.value, back); diff != "" {
			t.Errorf("%s is read back otherwise (-want +got):\n%s", got, diff)
		}
	}
}

func TestOnlyAJSONStringIsAnAmount(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		`12.3`: "is a JSON number", `-1`: "is a JSON number", `1e2`: "is a JSON number", `0`: "is a JSON number",
		`null`: "is JSON null", `true`: "is a JSON boolean", `false`: "is a JSON boolean",
		`{}`: "is a JSON object", `["1"]`: "is a JSON array",
		`""`: "is empty", `"1e2"`: "is in exponent notation", `" 1"`: "has a space",
		`"1\u0000"`: `has the character '\x00', which is not a digit`,
	} {
		amount := money.FromFen(7)
		err := json.Unmarshal([]byte(text), &amount)
		var refused *money.Error
		if !errors.As(err, &refused) || refused.Problem != problem {
			t.Errorf("Unmarshal(%s): %v, want %q", text, err, problem)
		}
		if amount.Fen() != 7 {
			t.Errorf("Unmarshal(%s) left %v behind", text, amount)
		}
	}
}

func TestEscapedDigitsAreStillDigits(t *testing.T) {
	t.Parallel()
	var amount money.Amount
	if err := json.Unmarshal([]byte(`"1\u0032.30"`), &amount); err != nil || amount.Fen() != 1230 {
		t.Errorf("Unmarshal = %v, %v, want 12.30", amount, err)
	}
}

func TestUnmarshalJSONSurvivesCallsFromOutsideTheDecoder(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", `"`, `"\`, `"\"`, `"1\q"`} {
		var amount money.Amount
		var refused *money.Error
		if err := amount.UnmarshalJSON([]byte(data)); !errors.As(err, &refused) {
			t.Errorf("UnmarshalJSON(%q): %v, want *money.Error", data, err)
		}
	}
}

func TestEveryTextFormIsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := money.FromFen(rapid.Int64().Draw(t, "fen"))
		want := amount.String()
		appended, err := amount.AppendText([]byte("x"))
		if err != nil || string(appended) != "x"+want {
			t.Errorf("AppendText = %q, %v, want x%s", appended, err, want)
		}
		marshalled, err := amount.MarshalText()
		if err != nil || string(marshalled) != want {
			t.Errorf("MarshalText = %q, %v, want %s", marshalled, err, want)
		}
		quoted, err := amount.MarshalJSON()
		if err != nil || string(quoted) != `"`+want+`"` {
			t.Errorf("MarshalJSON = %s, %v, want %q", quoted, err, want)
		}
		var back money.Amount
		err = back.UnmarshalText(marshalled)
		if inRange := amount.Cmp(money.FromFen(money.MaxFen)) <= 0 && amount.Cmp(money.FromFen(-money.MaxFen)) >= 0; inRange != (err == nil) {
			t.Errorf("UnmarshalText(%s): %v", marshalled, err)
		}
		if err == nil && back != amount {
			t.Errorf("UnmarshalText(%s) = %v", marshalled, back)
		}
	})
}
