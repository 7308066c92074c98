package reference_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/reference"
)

type thing struct {
	Name string `json:"name" doc:"How it is called: <b>plainly</b>." enum:"a,b"`
	More []part `json:"more,omitempty"`
}

type part struct {
	Size int `json:"size"`
}

func described() *huma.OpenAPI {
	api := &huma.OpenAPI{Info: &huma.Info{Title: "things", Version: "1"},
		Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)}}
	most := 9
	api.AddOperation(&huma.Operation{OperationID: "put-things", Method: http.MethodPost, Path: "/things/{id}", Tags: []string{"things"},
		Summary: "Put things", Security: []map[string][]string{{"key": {"things:write"}}},
		Parameters: []*huma.Param{{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Pattern: "^t"}}},
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeArray,
			MaxItems: &most, Items: api.Components.Schemas.Schema(reflect.TypeFor[thing](), true, "")}}}},
		Responses: map[string]*huma.Response{"202": {Description: "Put"}}})
	api.AddOperation(&huma.Operation{OperationID: "hidden", Method: http.MethodGet, Path: "/hidden", Hidden: true})
	return api
}

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	reference.NewPage(described()).Register(mux)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return answer
}

func TestPageShowsOperationsWithTheirScopesAndShapes(t *testing.T) {
	t.Parallel()
	answer := get(t, "/docs")
	html := answer.Body.String()
	for _, want := range []string{`<section id="put-things">`, "/things/{id}", "things:write", "^t", "list of up to 9 ",
		`<a href="#shape-Thing">Thing</a>`, `<section id="shape-Thing">`, "a, b", `<a href="#shape-Part">Part</a>`,
		"&lt;b&gt;plainly&lt;/b&gt;", "<code>202</code>"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(html, "hidden") {
		t.Error("the page shows an operation that is hidden")
	}
	if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("answer %d, %s", answer.Code, answer.Header().Get("Content-Type"))
	}
}

func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	answer := get(t, "/docs")
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(answer.Body.String(), -1) {
		if !strings.HasPrefix(link[1], "#") && !strings.HasPrefix(link[1], "/") || strings.HasPrefix(link[1], "//") {
			t.Errorf("the page links to %s", link[1])
		}
	}
	if policy := answer.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'") {
		t.Errorf("policy %q", policy)
	}
	style := get(t, "/docs/page.css")
	if style.Code != http.StatusOK || style.Header().Get("Content-Type") != "text/css; charset=utf-8" ||
		strings.Contains(style.Body.String(), "url(") || strings.Contains(style.Body.String(), "@import") {
		t.Errorf("style sheet %d, %s", style.Code, style.Header().Get("Content-Type"))
	}
	if strings.Contains(answer.Body.String(), "<script") {
		t.Error("the page runs a script")
	}
}
