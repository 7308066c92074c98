package settings

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/tasks"
)

// idBytesMax is the longest id: twice what any channel gives out.
const idBytesMax = 64

// Setting is one that a channel takes.
type Setting struct {
	Name   string
	Needed bool
}

// Reading reads settings and keeps the first one that is wrong, so that a caller reads them all and checks Err once. It serves one
// goroutine.
type Reading struct {
	dir    string
	values strictjson.Object
	err    *tasks.FieldError
}

// Read begins to read settings whose files lie in dir. A setting that is not known, or needed and not there, is refused already.
func Read(dir string, settings []byte, known []Setting) *Reading {
	r := &Reading{dir: dir}
	values, err := strictjson.Parse(settings)
	if err != nil {
		r.Refuse("settings", err.Error(), "one JSON object")
		return r
	}
	r.values = values
	var names []string
	for _, setting := range known {
		names = append(names, setting.Name)
		if setting.Needed && !r.Has(setting.Name) {
			r.Refuse(setting.Name, "is missing", "a value")
		}
	}
	for _, field := range values {
		if !slices.Contains(names, field.Name) {
			r.Refuse(strconv.QuoteToASCII(field.Name), "is no setting", strings.Join(names, ", "))
		}
	}
	return r
}

// Err is the first refusal, a *tasks.FieldError; nil when nothing was refused.
func (r *Reading) Err() error {
	if r.err == nil { // a nil pointer would be an error that is not nil
		return nil
	}
	return r.err
}

// Refuse refuses a setting, unless one was refused before. The problem quotes no key.
func (r *Reading) Refuse(field, problem, allowed string) {
	if r.err == nil {
		r.err = &tasks.FieldError{Field: field, Problem: problem, Allowed: allowed}
	}
}

// Has says whether the setting is there, whatever it is.
func (r *Reading) Has(name string) bool { return r.Value(name).Kind != strictjson.Absent }

// Value is a setting as it was written, for what is read by Text, File or a channel's own rule.
func (r *Reading) Value(name string) strictjson.Value { return r.values.Get(name) }

// Text is a string; "" when it is not there. The field names the value in a refusal.
func (r *Reading) Text(field string, v strictjson.Value) string {
	if v.Kind != strictjson.Text && v.Kind != strictjson.Absent {
		r.Refuse(field, "is not text", "a string")
	}
	return v.Text
}

// ID is a setting's id, of characters that need no quoting anywhere.
func (r *Reading) ID(name string) string {
	value := r.Text(name, r.Value(name))
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if value == "" || len(value) > idBytesMax || strings.Trim(value, allowed) != "" {
		r.Refuse(name, "is empty, too long or has other characters", "1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	return value
}

// URL is a setting's address, without a slash at its end; "" when it is not there and not needed.
func (r *Reading) URL(name string, needed bool) string {
	value := r.Text(name, r.Value(name))
	if value == "" && !needed {
		return ""
	}
	address, err := url.Parse(value)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" || address.User != nil ||
		address.RawQuery != "" || address.Fragment != "" {
		r.Refuse(name, "is not an address", "a URL without user, query and fragment, such as https://example.com/path")
	}
	return strings.TrimRight(value, "/")
}

// Bool is a setting's true or false; false when it is not there.
func (r *Reading) Bool(name string) bool {
	v := r.Value(name)
	if v.Kind != strictjson.Boolean && v.Kind != strictjson.Absent {
		r.Refuse(name, "is not true or false", "true or false")
	}
	return v.Kind == strictjson.Boolean && v.Text == "true"
}

// File is the content of a named file, which must lie under the settings' directory; nil when it was refused.
func (r *Reading) File(field string, v strictjson.Value) []byte {
	name := r.Text(field, v)
	if !filepath.IsLocal(name) {
		r.Refuse(field, "is not the name of a file under the settings' directory", `a relative name, such as "wechat/key.pem"`)
		return nil
	}
	content, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		var reason *os.PathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		r.Refuse(field, fmt.Sprintf("names %q, which cannot be read: %v", name, err), "a file that can be read")
		return nil
	}
	return content
}

// List is a setting's list; nil when it is not there.
func (r *Reading) List(name string) []strictjson.Value {
	v := r.Value(name)
	if v.Kind != strictjson.List && v.Kind != strictjson.Absent {
		r.Refuse(name, "is not a list", "a list")
	}
	return v.Items
}
