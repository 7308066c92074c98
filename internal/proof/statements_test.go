package proof_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// statement is SQL that stands in a source file.
type statement struct {
	at  string // file:line
	sql string
}

// unpreparable are statements that the service cannot run on the migrated schema, and why that is right.
var unpreparable = []struct{ file, contains, reason string }{
	{"internal/bench/latency.go", "INSERT INTO bare", "the table of the bare commit is made by the bench itself, for its run"},
	{"intake/access/key.go", "INSERT INTO api_keys", "keys are made by the owner of the tables; what serves may only read them"},
	{"intake/access/key.go", "UPDATE api_keys", "keys are revoked by the owner of the tables; what serves may only read them"},
	{"internal/bench/typical.go", "typical_", "the tables of the handler that a team would write are made by the bench itself"},
}

// looksLikeSQL is what a statement that reads or writes rows begins with. Statements are upper case here; English is not.
var looksLikeSQL = regexp.MustCompile(`^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH\s+\w+)\s`)

// endsInSQL is how a constant is named that holds SQL, whatever it begins with.
var endsInSQL = regexp.MustCompile(`SQL$`)

// statementsOf finds every string of a file that is SQL: constants by their name, and literals by how they begin.
func statementsOf(path string, source []byte) ([]statement, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, 0)
	if err != nil {
		return nil, err
	}
	constants := constantsOf(file)
	var found []statement
	add := func(at ast.Node, sql string) {
		found = append(found, statement{at: fmt.Sprintf("%s:%d", path, fset.Position(at.Pos()).Line), sql: sql})
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) && endsInSQL.MatchString(name.Name) {
					if sql, ok := constants.text(n.Values[i]); ok {
						add(n.Values[i], sql)
						n.Values[i] = &ast.Ident{NamePos: n.Values[i].Pos(), Name: "_"} // not a second time
					}
				}
			}
		case *ast.BinaryExpr:
			if sql, ok := constants.text(n); ok {
				if looksLikeSQL.MatchString(sql) {
					add(n, sql)
				}
				return false
			}
		case *ast.BasicLit:
			if sql, ok := constants.text(n); ok && looksLikeSQL.MatchString(sql) {
				add(n, sql)
			}
		}
		return true
	})
	return found, nil
}

// constants are the values that a file gives its constants and variables, by name.
type constants map[string]ast.Expr

func constantsOf(file *ast.File) constants {
	found := constants{}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			for i, name := range spec.Names {
				if i < len(spec.Values) && name.Name != "_" {
					found[name.Name] = spec.Values[i]
				}
			}
		}
		return true
	})
	return found
}

// text is the text of a literal, or of a sum of literals and of what the same file names so.
func (c constants) text(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, leftOK := c.text(e.X)
		right, rightOK := c.text(e.Y)
		return left + right, leftOK && rightOK && e.Op == token.ADD
	case *ast.Ident:
		if value := c[e.Name]; value != nil && endsInSQL.MatchString(e.Name) {
			return c.text(value)
		}
	}
	return "", false
}

// repository is the directory of go.mod.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("go.mod is in no directory above")
		}
		dir = parent
	}
}

func statementsOfRepository(t *testing.T) []statement {
	t.Helper()
	root := repository(t)
	var all []statement
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found, err := statementsOf(filepath.ToSlash(relative), source)
		all = append(all, found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// check prepares a statement and, when it reads or writes rows, has it planned and its rights checked, without running it.
func (s statement) check(t *testing.T, conn *pgx.Conn) error {
	t.Helper()
	if !looksLikeSQL.MatchString(s.sql) {
		for part := range strings.SplitSeq(s.sql, ";") {
			if _, err := conn.Prepare(t.Context(), "", part); err != nil {
				return err
			}
		}
		return nil
	}
	const name = "checked"
	prepared, err := conn.Prepare(t.Context(), name, s.sql)
	if err != nil {
		return err
	}
	defer func() {
		if err := conn.Deallocate(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}()
	arguments := ""
	if n := len(prepared.ParamOIDs); n > 0 {
		arguments = "(" + strings.Join(slices.Repeat([]string{"NULL"}, n), ", ") + ")"
	}
	_, err = conn.Exec(t.Context(), "EXPLAIN EXECUTE "+name+arguments, pgx.QueryExecModeSimpleProtocol)
	return err
}

func TestEveryStatementPreparesAgainstTheMigratedSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	statements := statementsOfRepository(t)
	excused := make([]bool, len(unpreparable))
	for _, s := range statements {
		excuse := slices.IndexFunc(unpreparable, func(u struct{ file, contains, reason string }) bool {
			return strings.HasPrefix(s.at, u.file+":") && strings.Contains(s.sql, u.contains)
		})
		err := s.check(t, conn.Conn())
		switch {
		case excuse >= 0:
			excused[excuse] = excused[excuse] || err != nil
		case err != nil:
			t.Errorf("%s: %v\n%s", s.at, err, s.sql)
		}
	}
	for i, used := range excused {
		if !used {
			t.Errorf("%s needs no excuse any more for %q", unpreparable[i].file, unpreparable[i].contains)
		}
	}
	if len(statements) < 80 {
		t.Errorf("only %d statements were found: the search is broken", len(statements))
	}
}

var forgivesAny = regexp.MustCompile(`ON CONFLICT\s+(DO|\()`)

// A statement that forgives a duplicate names the constraint: what breaks another one is an error, and not taken for done.
func TestDuplicatesAreForgivenByTheNameOfTheirConstraint(t *testing.T) {
	t.Parallel()
	named := 0
	for _, s := range statementsOfRepository(t) {
		if strings.Contains(s.sql, "ON CONFLICT") {
			named++
		}
		if forgivesAny.MatchString(s.sql) && !strings.HasPrefix(s.at, "internal/bench/") { // a typical wallet's statements are measured there
			t.Errorf("%s forgives any duplicate:\n%s", s.at, s.sql)
		}
	}
	if named < 6 {
		t.Errorf("only %d statements forgive a duplicate: the search is broken", named)
	}
}

func TestPlantedStatementsAreFoundAndRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for source, code := range map[string]string{
		"const lockSQL = `SET LOCAL work_mem = '1MB'; SET LOCAL enable_seqscan = on`":    "",
		"const lockSQL = `SET LOCAL work_mem = '1MB'; SET LOCAL enable_sequscan = on x`": "42601",
		"var x = `\nSELECT book FROM books`":                                             "",
		"func f() { db.Exec(ctx, \"UPDATE books \" + \"SET book = 1\") }":                "",
		"func f() { db.Query(ctx, \"SELECT nosuch FROM books\") }":                       "42703",
		"var checks = []check{{`I1`, `SELECT count(*) FROM nosuch`}}":                    "42P01",
		"const changeSQL = `UPDATE transfers SET amount_fen = $1`":                       "42501",
		"const waitSQL = `SELECT clock_timestamp() - $1 < $2::timestamptz`":              "42883",
	} {
		found, err := statementsOf("planted.go", []byte("package p\n"+source))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: found %v, %v", source, found, err)
		}
		err = found[0].check(t, conn.Conn())
		if code == "" && err != nil || code != "" && (err == nil || !strings.Contains(err.Error(), code)) {
			t.Errorf("%s: %v, want %q", source, err, code)
		}
	}
	shared := "const columnsSQL = `SELECT book FROM books `\nconst listSQL = columnsSQL + `WHERE nosuch = 1`"
	found, err := statementsOf("planted.go", []byte("package p\n"+shared))
	if err != nil || len(found) != 2 {
		t.Fatalf("%s: found %v, %v, want both", shared, found, err)
	}
	if err := found[1].check(t, conn.Conn()); err == nil || !strings.Contains(err.Error(), "42703") {
		t.Errorf("%s: %v, want 42703", shared, err)
	}
	for _, source := range []string{`const greetingSQL = 1`, `var x = "UPDATE"`, `var x = "WITHOUT a doubt"`, `var x = "select a file"`, `var x = "DROP DATABASE d" + name + " WITH (FORCE)"`} {
		if found, err := statementsOf("planted.go", []byte("package p\n"+source)); err != nil || len(found) != 0 {
			t.Errorf("%s: found %v, %v", source, found, err)
		}
	}
}
