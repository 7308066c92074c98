package reference

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed page.html page.css
var files embed.FS

// Page serves the description of an API. It may be used by many goroutines at once.
type Page struct {
	api  *huma.OpenAPI
	once sync.Once
	html []byte
	err  error
}

// NewPage makes a page of a description. It is read when the page is first asked for: all operations must have been added by then.
func NewPage(api *huma.OpenAPI) *Page { return &Page{api: api} }

// Register mounts the page at /docs.
func (p *Page) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /docs", p.serveHTML)
	mux.HandleFunc("GET /docs/page.css", serveStyle)
}

// policy lets the page have its own style sheet and nothing else.
const policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (p *Page) serveHTML(w http.ResponseWriter, _ *http.Request) {
	p.once.Do(func() { p.html, p.err = render(p.api) })
	if p.err != nil {
		http.Error(w, "the page cannot be shown; the description is at /openapi.json", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.html) // the reader may have left
}

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	style, _ := files.ReadFile("page.css") // it is part of the program
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(style)
}

var page = template.Must(template.ParseFS(files, "page.html"))

func render(api *huma.OpenAPI) ([]byte, error) {
	var html bytes.Buffer
	err := page.Execute(&html, describe(api))
	return html.Bytes(), err
}
