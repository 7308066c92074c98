package money_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

// refusals are texts that are not amounts, each with what is said about it.
var refusals = map[string]string{
	"":                   "is empty",
	"-":                  "is not a decimal number",
	".":                  "is not a decimal number",
	".5":                 "is not a decimal number",
	"5.":                 "is not a decimal number",
	"-.5":                "is not a decimal number",
	"--1":                "is not a decimal number",
	"1-2":                "is not a decimal number",
	"1.2.3":              "is not a decimal number",
	"1.-2":               "is not a decimal number",
	"00":                 "has a leading zero",
	"00.5":               "has a leading zero",
	"-01":                "has a leading zero",
	"1.234":              "has more than 2 decimal places",
	"1.000":              "has more than 2 decimal places",
	"0.001":              "has more than 2 decimal places",
	"1e5":                "is in exponent notation",
	"1E5":                "is in exponent notation",
	"1e-30":              "is in exponent notation",
	"-1.5e+3":            "is in exponent notation",
	"+1":                 "has a plus sign",
	" 1":                 "has a space",
	"1 ":                 "has a space",
	"1 000":              "has a space",
	"1\n":                `has the character '\n', which is not a digit`,
	"1\x00":              `has the character '\x00', which is not a digit`,
	"1,000.00":           "has the character ',', which is not a digit",
	"1_000":              "has the character '_', which is not a digit",
	"0x10":               "has the character 'x', which is not a digit",
	"NaN":                "has the character 'N', which is not a digit",
	"Infinity":           "has the character 'I', which is not a digit",
	"e":                  "has the character 'e', which is not a digit",
	"¥1":                 `has the character '\u00a5', which is not a digit`,
	"１":                  `has the character '\uff11', which is not a digit`,
	"1\xff":              `has the character '\ufffd', which is not a digit`,
	"100000000000.01":    "is out of range",
	"-100000000000.01":   "is out of range",
	"999999999999.99":    "is out of range",
	"1000000000000":      "is out of range",
	"92233720368547758":  "is out of range",
	"18446744073709552":  "is out of range",
	"184467440737095516": "is out of range",
}

func TestParseReadsPlainYuan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "0.0": 0, "0.00": 0, "-0": 0, "-0.00": 0,
		"0.01": 1, "0.1": 10, "0.10": 10, "1": 100, "1.5": 150, "1.50": 150,
		"12.30": 1230, "-12.30": -1230, "90071992547.40": 9007199254740, "90071992547.41": 9007199254741,
		"100000000000": money.MaxFen, "100000000000.00": money.MaxFen, "-100000000000.00": -money.MaxFen,
	} {
		if got, err := money.Parse(text); err != nil || got.Fen() != want {
			t.Errorf("Parse(%q) = %v, %v, want %d fen", text, got, err, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, problem := range refusals {
		for name, parse := range map[string]func(string) (money.Amount, error){
			"Parse": money.Parse, "ParsePositive": money.ParsePositive,
		} {
			got, err := parse(text)
			var refused *money.Error
			if !errors.As(err, &refused) {
				t.Errorf("%s(%q) = %v, %v, want *money.Error", name, text, got, err)
				continue
			}
			if got != money.FromFen(0) || refused.Problem != problem || refused.Allowed == "" {
				t.Errorf("%s(%q) = %v, %q, want problem %q", name, text, got, refused.Problem, problem)
			}
		}
	}
}

func TestParsePositiveRefusesZeroAndNegative(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"0": "is zero", "0.00": "is zero", "-0.00": "is zero",
		"-0.01": "is negative", "-100000000000": "is negative",
	} {
		_, err := money.ParsePositive(text)
		var refused *money.Error
		if !errors.As(err, &refused) || refused.Problem != problem {
			t.Errorf("ParsePositive(%q): %v, want %q", text, err, problem)
		}
	}
	if got, err := money.ParsePositive("0.01"); err != nil || got.Fen() != 1 {
		t.Errorf(`ParsePositive("0.01") = %v, %v`, got, err)
	}
}

func TestErrorRepeatsTheValueShortAndPrintable(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"a\x1b[31m":                         `a\x1b[31m`,
		"a\n":                               `a\n`,
		"a\"b":                              `a"b`,
		"\u202e1":                           `\u202e1`,
		"\xff":                              `\xff`,
		"余额":                                "余额",
		strings.Repeat("9", 40):             strings.Repeat("9", 40),
		strings.Repeat("9", 41):             strings.Repeat("9", 39) + "…",
		strings.Repeat("额", 10<<20):         strings.Repeat("额", 39) + "…",
		strings.Repeat("9", 38) + "\u202e9": strings.Repeat("9", 38) + "…",
	} {
		_, err := money.Parse(value)
		var refused *money.Error
		if !errors.As(err, &refused) {
			t.Fatalf("Parse(%.50q): %v, want *money.Error", value, err)
		}
		if refused.Value != want {
			t.Errorf("the value of Parse(%.50q)'s error is %q, want %q", value, refused.Value, want)
		}
		if !strings.Contains(err.Error(), refused.Value) || !strings.Contains(err.Error(), refused.Problem) ||
			!strings.Contains(err.Error(), refused.Allowed) {
			t.Errorf("the sentence leaves something out: %v", err)
		}
	}
}

func TestEveryAmountInRangeIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := money.FromFen(rapid.Int64Range(-money.MaxFen, money.MaxFen).Draw(t, "fen"))
		got, err := money.Parse(want.String())
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v", want.String(), got, err)
		}
	})
}

// amountShape is the grammar that Parse promises; the range is checked beside it.
var amountShape = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]{1,2})?$`)

func FuzzParse(f *testing.F) {
	for text := range refusals {
		f.Add(text)
	}
	for _, text := range []string{"0", "-0.00", "0.1", "12.30", "-12.30", "99999999999.99", "100000000000.00"} {
		f.Add(text)
	}
	limit := decimal.New(money.MaxFen, -2)
	f.Fuzz(func(t *testing.T, text string) {
		amount, err := money.Parse(text)
		want := amountShape.MatchString(text)
		if want {
			want = decimal.RequireFromString(text).Abs().LessThanOrEqual(limit)
		}
		if want != (err == nil) {
			t.Fatalf("Parse(%q) = %v, %v, want accepted: %t", text, amount, err, want)
		}
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		if exact := decimal.RequireFromString(text); !exact.Equal(decimal.New(amount.Fen(), -2)) {
			t.Fatalf("Parse(%q) = %v, want %v", text, amount, exact)
		}
		if again, err := money.Parse(amount.String()); err != nil || again != amount {
			t.Fatalf("Parse(%q) = %v, %v, want %v", amount.String(), again, err, amount)
		}
	})
}

func checkRefusal(t *testing.T, text string, err error) {
	t.Helper()
	var refused *money.Error
	if !errors.As(err, &refused) {
		t.Fatalf("Parse(%q): %T, want *money.Error", text, err)
	}
	if n := utf8.RuneCountInString(refused.Value); n > 40 || !utf8.ValidString(err.Error()) {
		t.Fatalf("Parse(%q): %q has %d characters", text, err, n)
	}
	for _, r := range err.Error() {
		if r < ' ' || r == 0x7f {
			t.Fatalf("Parse(%q): the error %q has a control character", text, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := money.Parse("1234567.89"); err != nil {
			b.Fatal(err)
		}
	}
}
