package tasks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDifferencesNameFieldsByTheirPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stored, asked string
		want                []Diff
	}{
		{"equal", `{"a":"1","b":{"c":[1]}}`, `{"a":"1","b":{"c":[1]}}`, nil},
		{"equal in another order", `{"a":"1","b":"2"}`, `{"b":"2","a":"1"}`, nil},
		{"a value", `{"amount":"1.00","user":"u"}`, `{"amount":"2.00","user":"u"}`, []Diff{{"amount", `"1.00"`, `"2.00"`}}},
		{"a text like a number", `{"a":"1"}`, `{"a":1}`, []Diff{{"a", `"1"`, `1`}}},
		{"a field more", `{"a":"1"}`, `{"a":"1","to":"balance"}`, []Diff{{"to", "absent", `"balance"`}}},
		{"a field less", `{"a":"1","to":"balance"}`, `{"a":"1"}`, []Diff{{"to", `"balance"`, "absent"}}},
		{"a leg more", `{"legs":[{"amount":"1.00"}]}`, `{"legs":[{"amount":"1.00"},{"amount":"2.00"}]}`,
			[]Diff{{"legs[1].amount", "absent", `"2.00"`}}},
		{"inside a leg", `{"legs":[{"source":"cash","amount":"1.00"}]}`, `{"legs":[{"source":"cash","amount":"1.01"}]}`,
			[]Diff{{"legs[0].amount", `"1.00"`, `"1.01"`}}},
		{"several, by name", `{"b":"1","a":"1","c":true}`, `{"b":"2","a":"2","c":true}`, []Diff{{"a", `"1"`, `"2"`}, {"b", `"1"`, `"2"`}}},
		{"another type", `{"lines":[{"x":"1"}]}`, `{"lines":"none"}`, []Diff{{"lines", "absent", `"none"`}, {"lines[0].x", `"1"`, "absent"}}},
		{"large numbers", `{"n":9007199254740992}`, `{"n":9007199254740993}`, []Diff{{"n", "9007199254740992", "9007199254740993"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := diffPayloads([]byte(c.stored), []byte(c.asked))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

// A text that is cut before it is compared makes a replay of a conflict: ids have up to 64 bytes, and producers number at their end.
func TestValuesThatDifferOnlyAtTheirEndAreDifferent(t *testing.T) {
	t.Parallel()
	for n := 1; n <= textBytesMax; n++ {
		same := strings.Repeat("x", n-1)
		diffs, err := diffPayloads([]byte(`{"id":"`+same+`a"}`), []byte(`{"id":"`+same+`b"}`))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Diff{{"id", `"` + same + `a"`, `"` + same + `b"`}}, diffs); diff != "" {
			t.Fatalf("%d bytes (-want +got):\n%s", n, diff)
		}
	}
}

// Two contents that differ must never look equal: a conflict would be taken for a replay.
func TestListsAndObjectsThatAreEmptyAreStillDifferent(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{`{"a":"1","lines":[]}`, `{"a":"1","lines":{}}`, `{"a":"1","lines":[[]]}`, `{"a":"1","lines":[{}]}`} {
		diffs, err := diffPayloads([]byte(`{"a":"1"}`), []byte(asked))
		if err != nil {
			t.Fatal(err)
		}
		if diffs == nil {
			t.Errorf("%s has no difference from an object without lines", asked)
		}
	}
}

func TestWhatIsNoJSONCannotBeCompared(t *testing.T) {
	t.Parallel()
	if _, err := diffPayloads([]byte(`{`), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "stored") {
		t.Errorf("error is %v", err)
	}
	if _, err := diffPayloads([]byte(`{}`), []byte(`{"a"`)); err == nil || !strings.Contains(err.Error(), "asked") {
		t.Errorf("error is %v", err)
	}
}

func TestConflictTellsEachDifference(t *testing.T) {
	t.Parallel()
	clash := ConflictError{Receipt: Receipt{Kind: RewardGrant, Key: "r1", Fields: []Diff{
		{Field: "amount", Stored: `"1.00"`, Asked: `"2.00"`},
		{Field: "user_id", Stored: `"u1"`, Asked: `"u2"`},
	}}}
	const want = `reward:grant "r1" was asked before with other content: amount was "1.00", now "2.00"; user_id was "u1", now "u2"`
	if got := clash.Error(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
