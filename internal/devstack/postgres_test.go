package devstack

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestPostgresTakesWhatItWasBuiltWith(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{})
	if !p.takes(t.Context(), "wal_compression", "on") || p.takes(t.Context(), "wal_compression", "magic") {
		t.Error("the server says of itself that it takes magic, or no compression at all")
	}
	want := "pglz" // what it calls "on"
	if p.takes(t.Context(), "wal_compression", "lz4") {
		want = "lz4"
	}
	if got := queryString(t, p.URL, "SELECT current_setting('wal_compression')"); got != want {
		t.Errorf("full pages are compressed by %s, want %s", got, want)
	}
}

func TestPostgresAnswersIsDurableAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{})
	for _, url := range []string{p.URL, p.SocketURL} {
		for setting, want := range map[string]string{
			"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "server_encoding": "UTF8", "TimeZone": "UTC",
		} {
			if got := queryString(t, url, "SELECT current_setting('"+setting+"')"); got != want {
				t.Errorf("%s = %s, want %s", setting, got, want)
			}
		}
	}
	dir := p.home.dir
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after Stop: %v, want it gone", err)
	}
	if conn, err := net.Dial("tcp", loopback(p.port)); err == nil {
		_ = conn.Close()
		t.Error("something still listens after Stop")
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if pid := p.PID(); pid != 0 {
		t.Errorf("PID of a stopped server = %d, want 0", pid)
	}
}

func TestFastPostgresSaysThatItIsNotDurable(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Fast: true, MaxConnections: 40, Settings: map[string]string{"work_mem": "9MB"}})
	if !strings.Contains(p.Describe(), "not durable") {
		t.Errorf("description %q does not say so", p.Describe())
	}
	for setting, want := range map[string]string{"fsync": "off", "max_connections": "40", "work_mem": "9MB"} {
		if got := queryString(t, p.URL, "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %s, want %s", setting, got, want)
		}
	}
}

func TestRestartKeepsPortAndCommittedData(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{})
	execute(t, p.URL, "CREATE TABLE kept (n int)")
	url, restarts := p.URL, 0
	for name, restart := range map[string]func() error{
		"in order":     func() error { return p.Restart(t.Context(), false) },
		"as a crash":   func() error { return p.Restart(t.Context(), true) },
		"after a kill": func() error { return errors.Join(p.Kill(), p.Kill(), p.Restart(t.Context(), false)) },
	} {
		execute(t, p.URL, "INSERT INTO kept VALUES (1)")
		restarts++
		if err := restart(); err != nil {
			t.Fatalf("restart %s: %v", name, err)
		}
		if p.URL != url {
			t.Errorf("restart %s: URL = %s, was %s", name, p.URL, url)
		}
		if got := queryInt(t, p.URL, "SELECT count(*) FROM kept"); got != restarts {
			t.Errorf("restart %s: %d rows, want %d", name, got, restarts)
		}
	}
}

func TestRestartWaitsForItsPort(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Fast: true})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", loopback(p.port))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.start(t.Context()); !errors.Is(err, errPortTaken) {
		t.Errorf("start on a taken port: %v, want errPortTaken", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), samePortPoll)
	defer cancel()
	if err := p.Restart(ctx, false); err == nil {
		t.Error("restart succeeded on a taken port")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context(), false); err != nil {
		t.Errorf("restart on the freed port: %v", err)
	}
}

func TestStartThatFailsShowsTheLogAndLeavesNothing(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	openToAll(t, base)
	_, err := StartPostgres(t.Context(), PostgresOptions{BaseDir: base, SharedBuffers: "plenty"})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers": "plenty"`) {
		t.Errorf("error = %v, want the server's own words", err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	openToAll(t, base)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartPostgres(ctx, PostgresOptions{BaseDir: base}); err == nil {
		t.Error("started under a context that had ended")
	}
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestServersOfRootBelongToAnotherUser(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Fast: true})
	info, err := os.Stat(p.home.dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if os.Geteuid() == 0 && owner == 0 {
		t.Error("the server's directory belongs to root")
	}
	if os.Geteuid() != 0 && int(owner) != os.Geteuid() {
		t.Errorf("the server's directory belongs to user %d, want us", owner)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode = %o, want 700", mode)
	}
}

// startPostgres starts a server that is stopped when t ends.
func startPostgres(t *testing.T, options PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn := connect(t, url)
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func queryString(t *testing.T, url, query string) string {
	t.Helper()
	return queryOne[string](t, url, query)
}

func queryInt(t *testing.T, url, query string) int { t.Helper(); return queryOne[int](t, url, query) }

func queryOne[T any](t *testing.T, url, query string) T {
	t.Helper()
	conn := connect(t, url)
	defer func() { _ = conn.Close(t.Context()) }()
	var value T
	if err := conn.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// openToAll lets every user pass through a test's directory, whose parents only we may enter, and write to it.
func openToAll(t *testing.T, dir string) {
	t.Helper()
	for path := dir; path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until condition holds, for at most a minute.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}
