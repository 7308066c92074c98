package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the database role that owns a private PostgreSQL.
const Superuser = "postgres"

// socketPathMax is the longest path of a Unix socket that both Linux (107) and macOS (103) take.
const socketPathMax = 103

// askTimeout bounds one question to a starting server.
const askTimeout = 5 * time.Second

// ErrNotOurs says that a server that was named by DATABASE_URL or REDIS_URL was asked to crash or restart: it is
// somebody else's.
var ErrNotOurs = errors.New("server is not ours to stop")

// Postgres is a PostgreSQL server. Its methods may be called at the same time; they wait for each other.
type Postgres struct {
	// URL names the database "postgres" on the server, over TCP. It stays the same over restarts.
	URL string
	// SocketURL is the same over the Unix socket, which costs less CPU a round trip. Empty when the server's directory
	// has too long a path for one, and for a server that is not ours.
	SocketURL string

	described string

	mu       sync.Mutex
	home     *home // nil when the server is not ours
	binaries postgresBinaries
	options  PostgresOptions
	port     int
	process  *process // nil while stopped
}

// StartPostgres makes a new, empty server and returns when it answers queries. ctx bounds the start, not the server's
// life: that ends with Stop or with this process. Fails with *MissingError when PostgreSQL is not installed.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Postgres, error) {
	found, err := installed.postgres(ctx)
	if err != nil {
		return nil, err
	}
	as, err := serverAccount("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	home, err := newHome("PostgreSQL", options.baseDir(), "QUIT", as)
	if err != nil {
		return nil, err
	}
	p := &Postgres{home: home, binaries: found, options: options}
	if err := p.initialize(ctx); err != nil {
		return nil, errors.Join(err, home.remove())
	}
	p.compress(ctx)
	err = onFreePort(func(port int) error {
		p.port = port
		return p.start(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, home.remove())
	}
	p.describe()
	return p, nil
}

// Describe says in one line which server this is, without secrets.
func (p *Postgres) Describe() string { return p.described }

// PID returns the process id of the running server's first process, or 0 when it is stopped or not ours.
func (p *Postgres) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.pid()
}

// Stop ends the server in order, which disconnects its clients, and removes its data. When ctx ends first the server
// is stopped at once. Stopping twice, or a server that is not ours, does nothing.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.home == nil {
		return nil
	}
	p.endInOrder(ctx)
	home := p.home
	p.home = nil
	return home.remove()
}

// Kill stops the server as a crash would: no checkpoint, no goodbye. Its data stay as the crash left them, and Restart
// recovers them. Killing a stopped server does nothing. Fails with ErrNotOurs.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.home == nil {
		return ErrNotOurs
	}
	p.endAtOnce()
	return nil
}

// Restart stops the server, when it runs, in order or (immediate) as a crash would, and returns when it answers queries
// again on the same port with the same data. Fails with ErrNotOurs, or when ctx ends first; it may then be called again.
func (p *Postgres) Restart(ctx context.Context, immediate bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.home == nil {
		return ErrNotOurs
	}
	if immediate {
		p.endAtOnce()
	} else {
		p.endInOrder(ctx)
	}
	return onSamePort(ctx, func() error { return p.start(ctx) })
}

// initialize makes the server's data directory.
func (p *Postgres) initialize(ctx context.Context) error {
	command := exec.CommandContext(ctx, filepath.Join(p.binaries.dir, "initdb"),
		"--pgdata="+p.dataDir(), "--username="+Superuser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	command.Dir, command.Env, command.SysProcAttr = p.home.dir, p.home.env(), detached(p.home.as)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("make a database cluster with %s: %w; it said:\n%s", command.Path, err, output)
	}
	return nil
}

// compress lets full pages of the log be compressed by lz4, which costs less, unless somebody chose or the server was built without it.
func (p *Postgres) compress(ctx context.Context) {
	const setting, cheapest = "wal_compression", "lz4"
	if _, chosen := p.options.Settings[setting]; chosen || p.options.Fast || !p.takes(ctx, setting, cheapest) {
		return
	}
	settings := map[string]string{setting: cheapest}
	maps.Copy(settings, p.options.Settings)
	p.options.Settings = settings
}

// takes says whether the server was built to take a value of a setting.
func (p *Postgres) takes(ctx context.Context, name, value string) bool {
	command := exec.CommandContext(ctx, filepath.Join(p.binaries.dir, "postgres"), "-D", p.dataDir(), "-C", name, "-c", name+"="+value)
	command.Dir, command.Env, command.SysProcAttr = p.home.dir, p.home.env(), detached(p.home.as)
	return command.Run() == nil
}

// start runs the server on p.port and returns when it answers. The caller holds mu, or is alone.
func (p *Postgres) start(ctx context.Context) error {
	socketDir := p.home.dir
	if len(filepath.Join(socketDir, ".s.PGSQL.65535")) > socketPathMax {
		socketDir = ""
	}
	p.URL, p.SocketURL = postgresURLs(p.port, socketDir)
	args := append([]string{"-D", p.dataDir(), "-p", strconv.Itoa(p.port), "-c", "unix_socket_directories=" + socketDir},
		p.options.commandLine()...)
	process, err := p.home.start(filepath.Join(p.binaries.dir, "postgres"), args...)
	if err != nil {
		return err
	}
	if err := process.untilReady(ctx, p.ask); err != nil {
		process.endAtOnce(syscall.SIGQUIT)
		return err
	}
	p.process = process
	return nil
}

// ask succeeds when the server on our port answers a query and serves our data (invariant 4).
func (p *Postgres) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var data string
	if err := conn.QueryRow(ctx, "SELECT current_setting('data_directory')").Scan(&data); err != nil {
		return err
	}
	if data != p.dataDir() {
		return fmt.Errorf("port %d is served by another PostgreSQL: %w", p.port, errPortTaken)
	}
	return nil
}

// endInOrder stops the process, if one runs: checkpoint, then exit. The caller holds mu.
func (p *Postgres) endInOrder(ctx context.Context) {
	if p.process != nil {
		p.process.endInOrder(ctx, syscall.SIGINT, syscall.SIGQUIT)
		p.process = nil
	}
}

// endAtOnce stops the process, if one runs, without a checkpoint. The caller holds mu.
func (p *Postgres) endAtOnce() {
	if p.process != nil {
		p.process.endAtOnce(syscall.SIGQUIT)
		p.process = nil
	}
}

func (p *Postgres) describe() {
	durability := "durable"
	switch {
	case p.options.Fast:
		durability = "not durable (fsync off)"
	case strings.HasPrefix(p.home.dir, sharedMemory):
		durability = "durable until the machine stops (in memory)"
	}
	p.described = fmt.Sprintf("PostgreSQL %s from %s, private, %s, on %s%s, data in %s",
		p.binaries.version, p.binaries.dir, durability, loopback(p.port), p.home.as, p.home.dir)
}

func (p *Postgres) dataDir() string { return filepath.Join(p.home.dir, "data") }

// postgresURLs returns the connection URLs over TCP and over the socket in dir, which is "" for no socket.
func postgresURLs(port int, dir string) (tcp, socket string) {
	address := url.URL{
		Scheme: "postgres", User: url.User(Superuser), Host: loopback(port), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	if dir == "" {
		return address.String(), ""
	}
	query := url.Values{"host": {dir}, "port": {strconv.Itoa(port)}, "user": {Superuser}}
	return address.String(), "postgres:///postgres?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}
