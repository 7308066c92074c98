package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// statement is a SQL constant of the program.
type statement struct {
	where string // file:line
	name  string
	sql   string
}

// unprepared are constants that cannot be prepared by themselves, with the reason.
var unprepared = map[string]string{
	"readAllSQL":           "several SET statements, sent as one string",
	"readWholeSQL":         "several SET statements, sent as one string",
	"typicalSchemaSQL":     "creates the tables of a comparator",
	"typicalSeedSQL":       "a comparator's table, which the bench creates",
	"typicalSeedOrdersSQL": "a comparator's table, which the bench creates",
	"typicalInsertSQL":     "a comparator's table, which the bench creates",
	"typicalOrderSQL":      "a comparator's table, which the bench creates",
	"typicalLockSQL":       "a comparator's table, which the bench creates",
	"typicalMoveSQL":       "a comparator's table, which the bench creates",
	"typicalRefundSQL":     "a comparator's table, which the bench creates",
	"typicalEntrySQL":      "a comparator's table, which the bench creates",
}

// statementsOf lists the string constants whose names end in SQL, and the strings of the audit's list of checks.
func statementsOf(s source) []statement {
	var found []statement
	add := func(name string, value ast.Expr) {
		literal, ok := value.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil {
			found = append(found, statement{fmt.Sprintf("%s:%d", s.path, s.fset.Position(literal.Pos()).Line), name, text})
		}
	}
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ValueSpec:
			for i, name := range node.Names {
				if strings.HasSuffix(name.Name, "SQL") && i < len(node.Values) {
					add(name.Name, node.Values[i])
				}
			}
		case *ast.BasicLit:
			if strings.HasPrefix(node.Value, "`\nSELECT ") || strings.HasPrefix(node.Value, "`\nWITH ") {
				add("", node)
			}
		}
		return true
	})
	return found
}

// A statement that was never run is found to be wrong when it is needed most: every one is prepared against the migrated schema, as
// the role that will run it.
func TestEveryStatementPreparesAgainstTheMigratedSchema(t *testing.T) {
	t.Parallel()
	conn, err := pgtest.New(t).Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	prepared := 0
	for _, s := range mustRepository(t).sources {
		if s.isTest() {
			continue
		}
		for _, statement := range statementsOf(s) {
			if unprepared[statement.name] != "" {
				continue
			}
			prepared++
			if _, err := conn.Conn().Prepare(t.Context(), "", statement.sql); err != nil {
				t.Errorf("%s: %s: %v", statement.where, statement.name, err)
			}
		}
	}
	if prepared < 60 {
		t.Errorf("only %d statements were found: the test looks in the wrong place", prepared)
	}
}

func TestAWrongStatementIsFound(t *testing.T) {
	t.Parallel()
	s := plant(t, "ledger/x.go", "package ledger\nconst wrongSQL = `SELECT no_such_column FROM requests`\n")
	statements := statementsOf(s)
	if len(statements) != 1 || statements[0].name != "wrongSQL" {
		t.Fatalf("found %v", statements)
	}
	conn, err := pgtest.New(t).Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Conn().Prepare(t.Context(), "", statements[0].sql); err == nil {
		t.Error("a column that does not exist was prepared")
	}
}
