package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const modulePath = "github.com/settled-dev/settled"

// root is the repository's top, seen from this package's directory.
const root = "../.."

// source is one Go file, parsed.
type source struct {
	path string // from the repository's top, with slashes
	text string
	fset *token.FileSet
	file *ast.File
}

func parseSource(name, text string) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", name, err)
	}
	return source{path: name, text: text, fset: fset, file: file}, nil
}

// plant parses a snippet as if it stood in the repository under that name.
func plant(t *testing.T, name, text string) source {
	t.Helper()
	s, err := parseSource(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s source) dir() string       { return path.Dir(s.path) }
func (s source) isTest() bool      { return strings.HasSuffix(s.path, "_test.go") }
func (s source) isGenerated() bool { return ast.IsGenerated(s.file) }

// isUnder reports whether the file is in one of the directories, or below.
func (s source) isUnder(dirs ...string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(s.path, dir+"/") {
			return true
		}
	}
	return false
}

// room is the top directory that the file belongs to: "ledger", "cmd", "internal".
func (s source) room() string { return roomOf(s.dir()) }

// roomOf is the room that a directory is in: the longest name in the table that it begins with, else its first part.
func roomOf(dir string) string {
	first, rest, _ := strings.Cut(dir, "/")
	second, _, _ := strings.Cut(rest, "/")
	if _, nested := rooms[first+"/"+second]; nested {
		return first + "/" + second
	}
	return first
}

// at writes a finding as a compiler writes an error.
func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// imports returns the imported paths by the names that the file knows them by.
func (s source) imports() map[string]string {
	names := map[string]string{}
	for _, spec := range s.file.Imports {
		imported := importPath(spec)
		name := path.Base(imported)
		if isMajorVersion(name) {
			name = path.Base(path.Dir(imported))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imported
	}
	return names
}

func importPath(spec *ast.ImportSpec) string {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has let it pass; a rule will not know it
	}
	return imported
}

// isMajorVersion reports whether a path's last element is a version such as "v2".
func isMajorVersion(element string) bool {
	number, found := strings.CutPrefix(element, "v")
	_, err := strconv.Atoi(number)
	return found && err == nil
}

// textFile is any file that a person reads: code, documents, configuration.
type textFile struct{ path, text string }

// tree is the repository as it lies on disk.
type tree struct {
	sources []source // of this module, without testdata
	texts   []textFile
}

// repository reads the tree once for all checks.
var repository = sync.OnceValues(func() (tree, error) { return readTree(os.DirFS(root)) })

func mustRepository(t *testing.T) tree {
	t.Helper()
	repo, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	if len(repo.sources) == 0 || len(repo.texts) <= len(repo.sources) {
		t.Fatalf("found %d Go files and %d text files: this is not the repository", len(repo.sources), len(repo.texts))
	}
	return repo
}

// readTree reads everything but Git's own files and the top directories that
// .gitignore names: a check must not depend on Git being there, and what a run
// leaves behind is not the project.
func readTree(top fs.FS) (tree, error) {
	ignored, err := ignoredDirectories(top)
	if err != nil {
		return tree{}, err
	}
	var repo tree
	var foreign []string // directories that are modules of their own
	err = fs.WalkDir(top, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if ignored[name] {
				return fs.SkipDir
			}
			if _, err := fs.Stat(top, path.Join(name, "go.mod")); err == nil && name != "." {
				foreign = append(foreign, name)
			}
			return nil
		}
		if !entry.Type().IsRegular() || ignored[name] { // in a worktree, .git is a file
			return nil
		}
		return repo.add(top, name, foreign)
	})
	return repo, err
}

func (repo *tree) add(top fs.FS, name string, foreign []string) error {
	data, err := fs.ReadFile(top, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
		return nil // binary, by the same test as Git's
	}
	repo.texts = append(repo.texts, textFile{name, string(data)})
	if filepath.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
		return nil
	}
	s, err := parseSource(name, string(data))
	if err != nil {
		return err
	}
	if !s.isUnder(foreign...) {
		repo.sources = append(repo.sources, s)
	}
	return nil
}

// ignoredDirectories reads the lines of .gitignore that name a top directory,
// which are those of the form "/name/".
func ignoredDirectories(top fs.FS) (map[string]bool, error) {
	data, err := fs.ReadFile(top, ".gitignore")
	if err != nil {
		return nil, fmt.Errorf("read .gitignore: %w", err)
	}
	ignored := map[string]bool{".git": true}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if name, found := strings.CutPrefix(line, "/"); found && strings.HasSuffix(name, "/") {
			ignored[strings.TrimSuffix(name, "/")] = true
		}
	}
	return ignored, nil
}

// report fails the test once for each finding.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

// planted is a snippet and a part of what a check must say about it; with no want,
// the check must say nothing.
type planted struct{ name, path, text, want string }

// seen runs a check over planted snippets, one at a time.
func seen(t *testing.T, check func([]source) []string, cases []planted) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			findings := check([]source{plant(t, c.path, c.text)})
			switch {
			case c.want == "" && len(findings) > 0:
				t.Errorf("found in what is allowed: %q", findings)
			case c.want != "" && (len(findings) != 1 || !strings.Contains(findings[0], c.want)):
				t.Errorf("found %q, want one finding with %q", findings, c.want)
			}
		})
	}
}
