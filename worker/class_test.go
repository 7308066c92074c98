package worker

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// classified says what becomes of a delivery that ends with each exported error of the rooms below. Most can only be seen by others
// than a handler: they are faults here.
var classified = map[string]struct {
	err  error
	want class
}{
	"tasks.ErrMalformedRing": {tasks.ErrMalformedRing, classStray},
	"tasks.ErrNewerRing":     {tasks.ErrNewerRing, classNewer},
	"tasks.ErrClientClosed":  {tasks.ErrClientClosed, classDraining},
	"tasks.ErrNoBooks":       {tasks.ErrNoBooks, classFault},
	"tasks.FieldError":       {&tasks.FieldError{Field: "amount"}, classFault},
	"tasks.ConflictError":    {&tasks.ConflictError{}, classFault},

	"ledger.ErrClosed":            {ledger.ErrClosed, classDraining},
	"ledger.ErrNotFound":          {ledger.ErrNotFound, classFault},
	"ledger.ErrNoCase":            {ledger.ErrNoCase, classFault},
	"ledger.ErrNotDead":           {ledger.ErrNotDead, classFault},
	"ledger.ErrBrokenInvariant":   {ledger.ErrBrokenInvariant, classFault},
	"ledger.ErrBooksDoNotBalance": {ledger.ErrBooksDoNotBalance, classFault},

	"channel.ErrUnknownNumber":   {channel.ErrUnknownNumber, classFault},
	"channel.ErrNoReply":         {fmt.Errorf("%w: %w", errUnanswered, channel.ErrNoReply), classUnanswered},
	"channel.ErrRefused":         {channel.ErrRefused, classRefused},
	"channel.ErrMerchantRefused": {channel.ErrMerchantRefused, classMerchantRefused},
	"channel.ErrNumberTaken":     {fmt.Errorf("%w: %w", channel.ErrRefused, channel.ErrNumberTaken), classRefused},

	// Notices are read at the front door, and payments asked about beside the queue; a task never ends with these.
	"channel.ErrUnpaid":     {channel.ErrUnpaid, classFault},
	"channel.ErrNotGenuine": {channel.ErrNotGenuine, classFault},
	"channel.ErrProbe":      {channel.ErrProbe, classFault},
	"channel.ErrStale":      {channel.ErrStale, classFault},
	"channel.ErrMalformed":  {channel.ErrMalformed, classFault},
	"channel.ErrNotOurs":    {channel.ErrNotOurs, classFault},
	"channel.ErrOtherRule":  {channel.ErrOtherRule, classFault},

	"money.Error": {&money.Error{}, classFault},

	"postgres.URLError":       {&postgres.URLError{}, classFault},
	"postgres.ErrAsyncCommit": {postgres.ErrAsyncCommit, classFault},
	"postgres.ErrStandby":     {postgres.ErrStandby, classFault},
	"postgres.ErrOldServer":   {postgres.ErrOldServer, classFault},
	"postgres.ErrNotMigrated": {postgres.ErrNotMigrated, classFault},
}

func TestEveryExportedErrorHasAClass(t *testing.T) {
	t.Parallel()
	for name, c := range classified {
		if got := classOf(fmt.Errorf("apply: %w", c.err)); got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
	for _, room := range []string{"tasks", "ledger", "channel", "money", "internal/postgres"} {
		for _, name := range exportedErrors(t, filepath.Join("..", room)) {
			if _, ok := classified[name]; !ok {
				t.Errorf("nobody has decided what becomes of a task that ends with %s", name)
			}
		}
	}
}

// exportedErrors lists a package's exported variables named Err… and types named …Error, as package.Name.
func exportedErrors(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("list %s: %d files, %v", dir, len(paths), err)
	}
	var names []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declared(file) {
			if strings.HasPrefix(found, "Err") || strings.HasSuffix(found, "Error") {
				if ast.IsExported(found) {
					names = append(names, file.Name.Name+"."+found)
				}
			}
		}
	}
	return names
}

// declared lists a file's variables and types.
func declared(file *ast.File) []string {
	var names []string
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok == token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
	}
	return names
}

func TestForeignErrorsHaveAClass(t *testing.T) {
	t.Parallel()
	server := func(code string) error { return &pgconn.PgError{Code: code} }
	for name, c := range map[string]struct {
		err  error
		want class
	}{
		"nothing":                        {nil, classDone},
		"a panic":                        {&panicError{value: "x"}, classBug},
		"the worker stops":               {errDraining, classDraining},
		"asynq's lease has expired":      {asynq.ErrLeaseExpired, classLost},
		"time ran out":                   {context.DeadlineExceeded, classBusy},
		"the task was cancelled":         {context.Canceled, classBusy},
		"serialization failure":          {server("40001"), classBusy},
		"deadlock":                       {server("40P01"), classBusy},
		"lock not available":             {server("55P03"), classBusy},
		"postgres shuts down":            {server("57P01"), classOutage},
		"postgres starts":                {server("57P03"), classOutage},
		"too many connections":           {server("53300"), classOutage},
		"connection broken":              {server("08006"), classOutage},
		"disk full":                      {server("53100"), classFault},
		"no permission":                  {server("42501"), classFault},
		"no redis connection":            {redis.ErrPoolTimeout, classOutage},
		"a channel's connection breaks":  {fmt.Errorf("%w: %w", errUnanswered, server("08006")), classUnanswered},
		"a channel that is not here":     {errNoRule, classNewer},
		"an unknown request":             {errUnknownRequest, classStray},
		"a request that is left over":    {errUndecided, classFault},
		"an error that nobody has heard": {errors.New("?"), classFault},
	} {
		if got := classOf(c.err); got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
}

func TestEveryFateHasAClass(t *testing.T) {
	t.Parallel()
	decided := map[ledger.Fate]class{
		ledger.Decided: classDone, ledger.Parked: classDone, ledger.Dead: classDone,
		ledger.NotStored: classStray, ledger.Deferred: classNewer, "": classFault, "new": classFault,
	}
	for fate, want := range decided {
		if got := classOf(errorOfFate(fate)); got != want {
			t.Errorf("fate %q is %s, want %s", fate, got, want)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "ledger", "batch.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !isNamed(spec.Type, "Fate") || !ast.IsExported(spec.Names[0].Name) {
			return true
		}
		value := ledger.Fate(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		if _, ok := decided[value]; !ok {
			t.Errorf("nobody has decided what becomes of a request that is %s", spec.Names[0].Name)
		}
		return true
	})
}

func isNamed(expr ast.Expr, name string) bool {
	identifier, ok := expr.(*ast.Ident)
	return ok && identifier.Name == name
}

func TestEveryClassIsTreated(t *testing.T) {
	t.Parallel()
	for _, c := range []class{classDone, classStray, classNewer, classBusy, classOutage, classUnanswered, classProcessing, classRefused,
		classMerchantRefused, classDraining, classLost, classBug, classFault} {
		treated, ok := treatments[c]
		if !ok {
			t.Errorf("class %s has no treatment", c)
		}
		if !treated.ends && (treated.delay <= 0 || treated.cap < treated.delay) {
			t.Errorf("class %s comes again after %s to %s", c, treated.delay, treated.cap)
		}
	}
}

func TestOnlyLostTasksCountAsSuspicious(t *testing.T) {
	t.Parallel()
	for c, treated := range treatments {
		wanted := c == classLost || c == classBug || c == classUnanswered // the sender has no suspects
		if treated.counts != wanted {
			t.Errorf("class %s counts: %t, want %t", c, treated.counts, wanted)
		}
	}
}

func TestRetriesWaitLongerEachTimeUpToACap(t *testing.T) {
	t.Parallel()
	longest := func(retried int, err error) time.Duration {
		var max time.Duration
		for range 200 {
			delay := retryDelay(retried, err, nil)
			if delay < time.Second {
				t.Fatalf("retry %d comes after %s: asynq cuts to whole seconds", retried, delay)
			}
			if delay > max {
				max = delay
			}
		}
		return max
	}
	if first, later := longest(0, errUnanswered), longest(6, errUnanswered); later < 4*first {
		t.Errorf("after six unanswered calls the delay is up to %s, after none %s", later, first)
	}
	for _, retried := range []int{20, 25, 63, 64, 1000} {
		if got := longest(retried, errUnanswered); got > 10*time.Minute+time.Second {
			t.Errorf("retry %d comes after %s", retried, got)
		}
	}
}

func TestLastRetryEndsTheTaskInsteadOfArchivingIt(t *testing.T) {
	t.Parallel()
	last := &delivery{retried: 25, retriesMax: 25}
	if err := answer(last, errUnanswered); !errors.Is(err, asynq.RevokeTask) {
		t.Errorf("the last delivery answers %v, want that the task is revoked", err)
	}
	if err := answer(&delivery{retried: 24, retriesMax: 25}, errUnanswered); errors.Is(err, asynq.RevokeTask) || err == nil {
		t.Errorf("an earlier delivery answers %v, want its error", err)
	}
	if err := answer(last, tasks.ErrMalformedRing); err != nil {
		t.Errorf("a stray answers %v, want nothing: it is recorded", err)
	}
}
