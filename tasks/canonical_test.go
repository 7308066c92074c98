package tasks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/tasks"
)

// canonical is the stored text of a payload.
func canonical(t interface {
	Helper()
	Fatalf(string, ...any)
}, payload tasks.Payload) []byte {
	t.Helper()
	request, err := tasks.NewRequest(payload, 1024, instant)
	if err != nil {
		t.Fatalf("a payload that was read is refused: %v", err)
	}
	if n := len(request.Key); n < 1 || n > 200 {
		t.Fatalf("key has %d bytes", n)
	}
	return request.Payload
}

// FuzzParsePayload: whatever is read is JSON, and has one canonical text that reads as itself; whatever is not read is refused for a
// field, in a line that can be logged.
func FuzzParsePayload(f *testing.F) {
	kinds := tasks.Kinds()
	for kind, raw := range goodPayloads {
		f.Add(uint8(slices.Index(kinds, kind)), []byte(raw))
	}
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(slices.Index(kinds, kindOfFile(strings.TrimSuffix(filepath.Base(file), ".json")))), raw)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		kind := kinds[int(which)%len(kinds)]
		payload, err := tasks.ParsePayload(kind, raw)
		var refused *tasks.FieldError
		switch {
		case errors.As(err, &refused):
			if refused.Field == "" || refused.Problem == "" || refused.Allowed == "" || strings.ContainsAny(err.Error(), "\x00\n\r\x1b") {
				t.Fatalf("refused with %q", err)
			}
			return
		case err != nil:
			t.Fatalf("refused without naming a field: %v", err)
		case !json.Valid(raw):
			t.Fatalf("%q was read and is not JSON", raw)
		}
		text := canonical(t, payload)
		for name, read := range map[string]func(tasks.Kind, []byte) (tasks.Payload, error){
			"parsed": tasks.ParsePayload, "decoded": tasks.DecodePayload,
		} {
			again, err := read(kind, text)
			if err != nil {
				t.Fatalf("canonical %s is not %s: %v", text, name, err)
			}
			if other := canonical(t, again); !bytes.Equal(text, other) {
				t.Fatalf("canonical %s, %s again, is %s", text, name, other)
			}
		}
	})
}

// spelling writes a JSON value in one of the many ways that mean the same.
type spelling struct{ t *rapid.T }

func (s spelling) value(value any) string {
	switch v := value.(type) {
	case map[string]any:
		names := rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(s.t, "order of fields")
		fields := make([]string, len(names))
		for i, name := range names {
			fields[i] = s.text(name) + s.space() + ":" + s.space() + s.field(name, v[name])
		}
		return "{" + s.space() + strings.Join(fields, s.space()+",") + s.space() + "}"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = s.space() + s.value(item)
		}
		return "[" + strings.Join(items, ",") + s.space() + "]"
	case string:
		return s.text(v)
	default:
		text, _ := json.Marshal(v)
		return string(text)
	}
}

// field knows which fields are amounts and times: those have spellings of their own.
func (s spelling) field(name string, value any) string {
	text, _ := value.(string)
	switch {
	case strings.HasSuffix(name, "amount") || name == "captured":
		return s.text(s.amount(text))
	case name == "occurred_at":
		return s.text(s.time(text))
	}
	return s.value(value)
}

func (s spelling) amount(text string) string {
	spellings := []string{text}
	if short := strings.TrimSuffix(text, "0"); short != text && !strings.HasSuffix(short, ".") {
		spellings = append(spellings, short)
	}
	if whole, ok := strings.CutSuffix(text, ".00"); ok {
		spellings = append(spellings, whole, whole+".0")
	}
	return rapid.SampledFrom(spellings).Draw(s.t, "spelling of "+text)
}

func (s spelling) time(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		s.t.Fatal(err)
	}
	hours := rapid.IntRange(-12, 14).Draw(s.t, "zone")
	at = at.Add(time.Duration(rapid.IntRange(0, 999).Draw(s.t, "nanoseconds"))).In(time.FixedZone("", hours*3600+1800))
	return at.Format("2006-01-02T15:04:05.999999999Z07:00")
}

func (s spelling) text(text string) string {
	if rapid.Bool().Draw(s.t, "escaped") && text != "" {
		first := []rune(text)[0]
		rest, _ := json.Marshal(text[len(string(first)):])
		return fmt.Sprintf(`"\u%04x%s`, first, rest[1:])
	}
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

func (s spelling) space() string {
	return rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n"}).Draw(s.t, "space")
}

// "1", "1.0" and "1.00", one instant in two zones, and fields in another order are one content, so one is the replay of the other.
func TestEqualContentsHaveEqualBytesHoweverTheyAreSpelt(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(goldenPayloads()))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "payload")
		want := canonical(t, goldenPayloads()[name])
		var content any
		if err := json.Unmarshal(want, &content); err != nil {
			t.Fatal(err)
		}
		raw := spelling{t}.value(content)
		parsed, err := tasks.ParsePayload(kindOfFile(name), []byte(raw))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got := canonical(t, parsed); !bytes.Equal(got, want) {
			t.Fatalf("%s\nhas the canonical text\n%s, want\n%s", raw, got, want)
		}
	})
}

func TestNanosecondsDoNotMakeAnotherContent(t *testing.T) {
	t.Parallel()
	at := func(nanoseconds int) []byte {
		return canonical(t, &tasks.Reward{RewardID: "r", UserID: "u", CampaignID: "c", Amount: yuan("1.00"),
			OccurredAt: time.Date(2026, 1, 1, 0, 0, 0, nanoseconds, time.UTC)})
	}
	if !bytes.Equal(at(1000), at(1999)) {
		t.Error("what PostgreSQL does not keep makes another content")
	}
	if bytes.Equal(at(1999), at(2000)) {
		t.Error("a microsecond makes no other content")
	}
}
