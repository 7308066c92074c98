package tidy

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	// namedFile is a file or directory in a document's code: `ledger/lane.go`, `lane.go`, `ledger/`.
	namedFile = regexp.MustCompile("`([\\w.][\\w./-]*(?:\\.(?:go|sql|md|sh|json|yml|yaml)|/))`")
	// linkedFile is the target of a link within the repository.
	linkedFile = regexp.MustCompile(`\]\(([\w./-]+)\)`)
)

func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	report(t, checkDocuments(mustRepository(t).texts))
}

// checkDocuments finds files that a document names or links and the repository lacks. A path is from the repository's top or from the
// document's own directory; a bare name may be of any directory, because the text around it says which.
func checkDocuments(texts []textFile) []string {
	known := map[string]bool{}
	for _, file := range texts {
		known[path.Base(file.path)] = true
		for name := file.path; name != "."; name = path.Dir(name) {
			known[name] = true
		}
	}
	var findings []string
	for _, file := range texts {
		if path.Ext(file.path) != ".md" {
			continue
		}
		number := 0
		for line := range strings.Lines(file.text) {
			number++
			for _, found := range append(namedFile.FindAllStringSubmatch(line, -1), linkedFile.FindAllStringSubmatch(line, -1)...) {
				name := path.Clean(found[1])
				if !known[name] && !known[path.Join(path.Dir(file.path), name)] {
					findings = append(findings, fmt.Sprintf("%s:%d: %s does not exist: a reader follows it in vain", file.path, number, found[1]))
				}
			}
		}
	}
	return findings
}

func TestPlantedNamesOfFilesAreFound(t *testing.T) {
	t.Parallel()
	tree := []textFile{{"ledger/lane.go", ""}, {"docs/states.md", ""}, {"docs/adr/0001.md", ""}}
	for _, c := range []struct{ document, text, want string }{
		{"README.md", "see `ledger/lane.go`, `lane.go`, `ledger/` and [states](docs/states.md), [why](docs/adr)\n", ""},
		{"docs/states.md", "see `adr/0001.md`, [why](adr/0001.md), [code](../ledger/lane.go)\n", ""},
		{"README.md", "`user/u1/cash`, `/metrics`, `/openapi.json`, `~/x.go`, `refund:apply/rf1`, [elsewhere](https://example.com/x.go)\n", ""},
		{"README.md", "first\nsee `ledger/lanes.go`\n", "README.md:2: ledger/lanes.go does not exist"},
		{"README.md", "see `lanes.go`\n", "lanes.go does not exist"},
		{"README.md", "the room `ledgers/`\n", "ledgers/ does not exist"},
		{"README.md", "[states](docs/state.md)\n", "docs/state.md does not exist"},
		{"docs/states.md", "[states](docs/lost.md)\n", "docs/lost.md does not exist"},
		{"ledger/doc.go", "// see `lanes.go`\n", ""},
	} {
		findings := strings.Join(checkDocuments(append([]textFile{{c.document, c.text}}, tree...)), "\n")
		if c.want == "" && findings != "" || !strings.Contains(findings, c.want) {
			t.Errorf("%s %q: found %q, want %q", c.document, c.text, findings, c.want)
		}
	}
}
