package tidy

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// bannedCalls are functions that may be named in some places only. Naming one
// without calling it counts, because it will be called from somewhere else.
var bannedCalls = []struct {
	pkg     string
	names   []string
	allowed func(source) bool
	places  string
	reason  string
}{
	{
		"time",
		[]string{"Now", "Since", "Until"},
		func(s source) bool { return s.isUnder("internal/clock") }, "internal/clock",
		"the time comes from a clock.Clock, so that a test can choose it; subtract its Now for a duration",
	},
	{
		"time",
		[]string{"Sleep"},
		func(s source) bool { return !s.isTest() }, "code that is no test",
		"a test that sleeps is slow or flaky; wait for the event itself",
	},
	{
		"context",
		[]string{"Background", "TO" + "DO"},
		inBinaryOrTest, "cmd, and *_test.go",
		"work that nobody can cancel outlives its caller; pass ctx, or context.WithoutCancel(ctx) to clean up",
	},
	{
		"os",
		[]string{"Exit"},
		inBinaryOrTest, "cmd, and *_test.go",
		"exiting skips every deferred clean-up; return an error",
	},
	{
		"log",
		[]string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
		inBinaryOrTest, "cmd, and *_test.go",
		"exiting skips every deferred clean-up; return an error",
	},
	{
		"github.com/shopspring/decimal",
		[]string{"NewFromFloat", "NewFromFloat32", "NewFromFloatWithExponent"},
		nowhere, "nowhere",
		"a float has lost the amount already; parse the text",
	},
}

func inBinaryOrTest(s source) bool { return s.isUnder("cmd") || s.isTest() }

func nowhere(source) bool { return false }

func TestBannedCallsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	report(t, checkCalls(mustRepository(t).sources))
}

func checkCalls(sources []source) []string {
	var findings []string
	for _, s := range sources {
		imports := s.imports()
		ast.Inspect(s.file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			left, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, banned := range bannedCalls {
				if imports[left.Name] == banned.pkg && slices.Contains(banned.names, selector.Sel.Name) &&
					!banned.allowed(s) {
					findings = append(findings, s.at(selector.Pos(), "%s.%s may be used in: %s. %s",
						left.Name, selector.Sel.Name, banned.places, banned.reason))
				}
			}
			return true
		})
	}
	return findings
}

func TestPlantedCallsAreFound(t *testing.T) {
	t.Parallel()
	file := func(imported, statement string) string {
		return fmt.Sprintf("package p\nimport %s\nfunc f() { %s }\n", imported, statement)
	}
	seen(t, checkCalls, []planted{
		{"the clock reads the time", "internal/clock/clock.go", file(`"time"`, "time.Now()"), ""},
		{"a rule does", "refund/rule.go", file(`"time"`, "time.Now()"), "refund/rule.go:3: time.Now may be used in: internal/clock."},
		{"a test does", "refund/rule_test.go", file(`"time"`, "time.Now()"), "time.Now"},
		{"under another name", "refund/rule.go", file(`clocks "time"`, "clocks.Now()"), "clocks.Now"},
		{"without calling it", "refund/rule.go", file(`"time"`, "now := time.Now; now()"), "time.Now"},
		{"by way of Since", "worker/run.go", file(`"time"`, "time.Since(start)"), "time.Since"},
		{"a field named Now", "worker/run.go", file(`"time"`, "clock.Now(); w.time.Now()"), ""},
		{"a test sleeps", "worker/run_test.go", file(`"time"`, "pause(time.Sleep)"), "time.Sleep"},
		{"a worker paces itself", "worker/run.go", file(`"time"`, "pause(time.Sleep)"), ""},
		{"the binary makes a context", "cmd/settled/main.go", file(`"context"`, "context.Background()"), ""},
		{"a room makes a context", "worker/run.go", file(`"context"`, "context.Background()"), "context.Background"},
		{"or puts it off", "worker/run.go", file(`"context"`, "context.TO"+"DO()"), "context.TO" + "DO"},
		{"the binary exits", "cmd/settled/main.go", file(`"os"`, "os.Exit(1)"), ""},
		{"a room exits", "worker/run.go", file(`"os"`, "os.Exit(1)"), "os.Exit"},
		{"a room logs and exits", "worker/run.go", file(`"log"`, `log.Fatalf("x")`), "log.Fatalf"},
		{"an amount from a float", "money/rate.go", file(`"github.com/shopspring/decimal"`, "decimal.NewFromFloat(0.1)"), "decimal.NewFromFloat"},
		{"even in a test", "money/rate_test.go", file(`"github.com/shopspring/decimal"`, "decimal.NewFromFloat32(0.1)"), "decimal.NewFromFloat32"},
	})
}

// fixturesMark is the path that a test names when it reads files which live beside
// the repository and are not on every machine.
const fixturesMark = "shared/fixtures"

// historyMark is what a test names that builds the version before from the repository's history, which an exported copy has not.
const historyMark = "olderCommit"

func TestNoTestIsSkipped(t *testing.T) {
	t.Parallel()
	report(t, checkSkips(mustRepository(t).sources))
}

// checkSkips finds calls of Skip, Skipf and SkipNow on a parameter that package
// testing gives to a test, under whatever name.
func checkSkips(sources []source) []string {
	var findings []string
	for _, s := range sources {
		if (strings.Contains(s.text, fixturesMark) || strings.Contains(s.text, historyMark)) && s.isTest() && !s.isUnder("internal/tidy") {
			continue
		}
		handles := testHandles(s)
		ast.Inspect(s.file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, selector.Sel.Name) {
				return true
			}
			if left, ok := selector.X.(*ast.Ident); ok && handles[left.Name] {
				findings = append(findings, s.at(selector.Pos(), "%s.%s may be used in: tests that name %s. "+
					"A skipped test passes by proving nothing; start what it needs", left.Name, selector.Sel.Name, fixturesMark))
			}
			return true
		})
	}
	return findings
}

// testHandles returns the names of all parameters of type *testing.T, *testing.B,
// *testing.F or testing.TB.
func testHandles(s source) map[string]bool {
	imports, handles := s.imports(), map[string]bool{}
	ast.Inspect(s.file, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok {
			return true
		}
		kind := field.Type
		if pointer, ok := kind.(*ast.StarExpr); ok {
			kind = pointer.X
		}
		selector, ok := kind.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if left, ok := selector.X.(*ast.Ident); ok && imports[left.Name] == "testing" {
			for _, name := range field.Names {
				handles[name.Name] = true
			}
		}
		return true
	})
	return handles
}

func TestPlantedSkipsAreFound(t *testing.T) {
	t.Parallel()
	const skipping = "package p\nimport \"testing\"\nfunc TestX(t *testing.T) { t.SkipNow() }\n"
	seen(t, checkSkips, []planted{
		{"a skipped test", "ledger/lane_test.go", skipping, "t.SkipNow may be used in"},
		{
			"in a helper", "internal/postgres/pgtest/pgtest.go",
			"package p\nimport tst \"testing\"\nfunc New(tb tst.TB) { tb.Skip() }\n", "tb.Skip may",
		},
		{
			"in a subtest", "ledger/lane_test.go",
			"package p\nimport \"testing\"\nvar _ = func(b *testing.B) { b.Skipf(\"%d\", 1) }\n", "b.Skipf",
		},
		{"fixtures that may be absent", "ledger/export_test.go", skipping + "const dir = \"../../" + fixturesMark + "\"\n", ""},
		{"the same words in code that is no test", "ledger/export.go", skipping + "// " + fixturesMark + "\n", "t.SkipNow"},
		{
			"another Skip", "ledger/lane_test.go",
			"package p\nimport \"testing\"\nfunc TestX(t *testing.T) { decoder.Skip() }\n", "",
		},
		{
			"a property discards a draw", "ledger/lane_test.go",
			"package p\nimport \"pgregory.net/rapid\"\nfunc f(t *rapid.T) { t.SkipNow() }\n", "",
		},
	})
}
