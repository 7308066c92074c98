package channeltest

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

// Write writes a file of a merchant's settings.
func Write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// PEM is the text of blocks of one kind.
func PEM(kind string, blocks ...[]byte) []byte {
	var text []byte
	for _, der := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	return text
}

// WritePEM writes a file of blocks of one kind.
func WritePEM(t testing.TB, dir, name, kind string, blocks ...[]byte) {
	t.Helper()
	Write(t, dir, name, PEM(kind, blocks...))
}

// Encode is the JSON of a value.
func Encode(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Settings are a merchant's settings as Load takes them, changed by changes: nil removes.
func Settings(t testing.TB, settings, changes map[string]any) []byte {
	t.Helper()
	changed := maps.Clone(settings)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return Encode(t, changed)
}

// WrongSetting is a setting with a value that is refused, and the field that the refusal names. The value nil leaves the setting out. (It
// is an alias so that rows of a table need not repeat the names.)
type WrongSetting = struct {
	Field string
	Value any
	Want  string
}

// CheckWrongSettings expects each to be refused with an error that says what is wrong and what is allowed, and shows no secret. Load
// writes settings with the changes, and the files that they name, to the directory, and loads them; a file may lie above it.
func CheckWrongSettings(t *testing.T, wrong []WrongSetting, secrets []string, load func(dir string, changes map[string]any) error) {
	t.Helper()
	for _, w := range wrong {
		dir := filepath.Join(t.TempDir(), "settings")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		err := load(dir, map[string]any{w.Field: w.Value})
		var bad *tasks.FieldError
		if !errors.As(err, &bad) || bad.Field != w.Want || bad.Problem == "" || bad.Allowed == "" {
			t.Errorf("%s %v: %v, want an error of %s", w.Field, w.Value, err, w.Want)
		} else if Shows(err.Error(), secrets) {
			t.Errorf("%s %v: the error shows a key", w.Field, w.Value)
		}
	}
}

// Shows says whether a text has any of the secrets.
func Shows(text string, secrets []string) bool {
	return slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(text, secret) })
}
