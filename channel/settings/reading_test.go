package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/tasks"
)

var known = []settings.Setting{{Name: "mer_id", Needed: true}, {Name: "key_file", Needed: true}, {Name: "public_keys"},
	{Name: "base_url", Needed: true}, {Name: "notify_url"}, {Name: "old"}}

// merchant is what the test's channel reads.
type merchant struct {
	id, baseURL, notifyURL string
	key                    []byte
	public                 []string
	old                    bool
}

func read(dir, text string) (merchant, error) {
	r := settings.Read(dir, []byte(text), known)
	m := merchant{id: r.ID("mer_id"), key: r.File("key_file", r.Value("key_file")), baseURL: r.URL("base_url", true),
		notifyURL: r.URL("notify_url", false), old: r.Bool("old")}
	for _, item := range r.List("public_keys") {
		m.public = append(m.public, r.Text("public_keys[0]", item))
	}
	return m, r.Err()
}

func writeKey(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSettingsAndTheirFilesAreRead(t *testing.T) {
	t.Parallel()
	m, err := read(writeKey(t), `{"mer_id": "308-9_A", "key_file": "./key.pem", "public_keys": ["one", "two"], "base_url": "https://bank.invalid/x/"}`)
	if err != nil || m.id != "308-9_A" || string(m.key) != "hunter2" || strings.Join(m.public, " ") != "one two" ||
		m.baseURL != "https://bank.invalid/x" || m.notifyURL != "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestChoicesAreTrueOrFalse(t *testing.T) {
	t.Parallel()
	dir := writeKey(t)
	for text, want := range map[string]bool{`, "old": true`: true, `, "old": false`: false, ``: false} {
		m, err := read(dir, `{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid"`+text+`}`)
		if err != nil || m.old != want {
			t.Errorf("%s: %v, %v", text, m.old, err)
		}
	}
}

func TestFirstWrongSettingIsNamed(t *testing.T) {
	t.Parallel()
	dir := writeKey(t)
	for _, c := range []struct{ text, want string }{
		{``, "settings"},
		{`[]`, "settings"},
		{`{} {}`, "settings"},
		{`{"mer_id": "1", "mer_id": "2"}`, "settings"},
		{`{"key_file": "key.pem", "base_url": "https://bank.invalid"}`, "mer_id"},
		{`{"mer_id": 1, "key_file": "key.pem", "base_url": "https://bank.invalid"}`, "mer_id"},
		{`{"mer_id": "", "key_file": "key.pem", "base_url": "https://bank.invalid"}`, "mer_id"},
		{`{"mer_id": "a b", "key_file": "key.pem", "base_url": "https://bank.invalid"}`, "mer_id"},
		{`{"mer_id": "` + strings.Repeat("1", 65) + `", "key_file": "key.pem", "base_url": "https://bank.invalid"}`, "mer_id"},
		{`{"mer_id": "1", "key_file": "other.pem", "base_url": "https://bank.invalid"}`, "key_file"},
		{`{"mer_id": "1", "key_file": "../key.pem", "base_url": "https://bank.invalid"}`, "key_file"},
		{`{"mer_id": "1", "key_file": ".", "base_url": "https://bank.invalid"}`, "key_file"},
		{`{"mer_id": "1", "key_file": ["key.pem"], "base_url": "https://bank.invalid"}`, "key_file"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "bank.invalid"}`, "base_url"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://u:p@bank.invalid"}`, "base_url"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid?x"}`, "base_url"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "notify_url": "x"}`, "notify_url"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "public_keys": "one"}`, "public_keys"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "public_keys": [1]}`, "public_keys[0]"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "Mer_id": "2"}`, `"Mer_id"`},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "old": "true"}`, "old"},
		{`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid", "old": null}`, "old"},
		{`{"mer_id": "", "key_file": 1, "other": 2}`, "base_url"}, // what is missing comes first
	} {
		_, err := read(dir, c.text)
		var bad *tasks.FieldError
		if !errors.As(err, &bad) || bad.Field != c.want || bad.Problem == "" || bad.Allowed == "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error of %s", c.text, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"mer_id": "1", "key_file": "key.pem", "base_url": "https://bank.invalid"}`)
	f.Add(`{"mer_id": null, "key_file": {}, "public_keys": [[]]}`)
	dir := writeKey(f)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := read(dir, text)
		if err == nil && (m.id == "" || string(m.key) != "hunter2" || m.baseURL == "") {
			t.Errorf("%q is taken for %+v", text, m)
		}
		var bad *tasks.FieldError
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
