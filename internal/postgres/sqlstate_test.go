package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

func TestErrorsAreSortedByWhatMayHelp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err                            error
		retryable, connection, content bool
	}{
		"nil":                        {err: nil},
		"serialization failure":      {err: state("40001"), retryable: true},
		"deadlock":                   {err: state("40P01"), retryable: true},
		"lock not available":         {err: state("55P03"), retryable: true},
		"transaction rolled back":    {err: state("40000")},
		"connection failure":         {err: state("08006"), connection: true},
		"protocol violation":         {err: state("08P01"), connection: true},
		"admin shutdown":             {err: state("57P01"), connection: true},
		"crash shutdown":             {err: state("57P02"), connection: true},
		"starting up":                {err: state("57P03"), connection: true},
		"database dropped":           {err: state("57P04"), connection: true},
		"idle session timeout":       {err: state("57P05"), connection: true},
		"idle in transaction":        {err: state("25P03"), connection: true},
		"too many connections":       {err: state("53300"), connection: true},
		"query cancelled":            {err: state("57014")},
		"out of range":               {err: state("22003"), content: true},
		"invalid bytes":              {err: state("22021"), content: true},
		"not null":                   {err: state("23502"), content: true},
		"unique":                     {err: state("23505"), content: true},
		"check":                      {err: state("23514"), content: true},
		"restrict":                   {err: state("23001"), content: true},
		"no privilege":               {err: state("42501")},
		"no table":                   {err: state("42P01")},
		"disk full":                  {err: state("53100")},
		"wrong password":             {err: state("28P01")},
		"raised by a function":       {err: state("P0001")},
		"wrapped":                    {err: fmt.Errorf("apply batch: %w", state("40001")), retryable: true},
		"end of input":               {err: fmt.Errorf("read: %w", io.ErrUnexpectedEOF), connection: true},
		"closed connection":          {err: fmt.Errorf("send: %w", pgconn.ErrConnClosed), connection: true},
		"closed socket":              {err: net.ErrClosed, connection: true},
		"reset":                      {err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, connection: true},
		"refused":                    {err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, connection: true},
		"unknown host":               {err: &net.DNSError{Name: "nowhere", IsNotFound: true}, connection: true},
		"the caller gave up":         {err: fmt.Errorf("query: %w", context.Canceled)},
		"the caller ran out of time": {err: fmt.Errorf("query: %w", context.DeadlineExceeded)},
		"no rows":                    {err: pgx.ErrNoRows},
		"something else":             {err: errors.New("something else")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := postgres.IsRetryable(test.err); got != test.retryable {
				t.Errorf("IsRetryable = %t, want %t", got, test.retryable)
			}
			if got := postgres.IsConnection(test.err); got != test.connection {
				t.Errorf("IsConnection = %t, want %t", got, test.connection)
			}
			if got := postgres.IsContent(test.err); got != test.content {
				t.Errorf("IsContent = %t, want %t", got, test.content)
			}
		})
	}
}

func TestBrokenConstraintIsNamed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	for _, statement := range []string{
		`CREATE TABLE jars (coins int CONSTRAINT jar_is_never_negative CHECK (coins >= 0))`,
		`INSERT INTO jars VALUES (-1)`,
	} {
		if _, err := db.Owner.Exec(t.Context(), statement); err != nil {
			if got := postgres.Constraint(fmt.Errorf("fill jar: %w", err)); got != "jar_is_never_negative" {
				t.Errorf("Constraint(%v) = %q", err, got)
			}
			if !postgres.IsContent(err) {
				t.Errorf("%v is not seen as a matter of content", err)
			}
			return
		}
	}
	t.Error("the constraint was not broken")
}

func TestErrorWithoutConstraintNamesNone(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, io.EOF, state("40001")} {
		if got := postgres.Constraint(err); got != "" {
			t.Errorf("Constraint(%v) = %q, want none", err, got)
		}
	}
}

func TestCrashedServerIsAConnectionErrorUntilItIsBack(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t, pgtest.MaxConns(1))
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err = conn.Exec(t.Context(), `SELECT 1`); !postgres.IsConnection(err) {
		t.Errorf("on an open connection: %v, want a connection error", err)
	}
	conn.Release()
	if _, err = db.Pool.Exec(t.Context(), `SELECT 1`); !postgres.IsConnection(err) {
		t.Errorf("on a new connection: %v, want a connection error", err)
	}
	if _, err := postgres.Open(t.Context(), db.URL); !postgres.IsConnection(err) {
		t.Errorf("on a new pool: %v, want a connection error", err)
	}
	if err := server.Restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool.Exec(t.Context(), `SELECT 1`); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestCancelledQueryIsNotAConnectionError(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Owner.Exec(ctx, `SELECT 1`); err == nil || postgres.IsConnection(err) {
		t.Errorf("error = %v, want one that blames the caller", err)
	}
}

func TestLockThatIsNotGivenInTimeIsRetryable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if _, err := db.Owner.Exec(t.Context(), `CREATE TABLE jars (coins int)`); err != nil {
		t.Fatal(err)
	}
	holder, err := db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(t.Context()) }()
	if _, err := holder.Exec(t.Context(), `LOCK TABLE jars`); err != nil {
		t.Fatal(err)
	}
	_, err = db.Owner.Exec(t.Context(), `SET lock_timeout = '1ms'; LOCK TABLE jars`)
	if !postgres.IsRetryable(err) {
		t.Errorf("error = %v, want a retryable one", err)
	}
}

func state(code string) error { return &pgconn.PgError{Code: code, Severity: "ERROR"} }
