package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres/pgarray"
	"github.com/settled-dev/settled/internal/socket"
)

// ServiceRole is the database role that every serving process acts as. Migrations create it.
const ServiceRole = "settled_service"

// Defaults of the pools. What the URL itself sets (pool_max_conns, lock_timeout and so on) wins over these, and the
// options of Open win over both.
const (
	// MaxConnsDefault serves a lane per book, a producer's accepts and the relay without a queue in front of the pool,
	// and lets five processes share a server with PostgreSQL's default of 100 connections.
	MaxConnsDefault = 16
	// connectTimeout bounds one attempt to connect, so that a host that swallows packets is an error and not a hang.
	connectTimeout = 5 * time.Second
	// maxConnLifetime renews connections, so that load spreads again after a failover and a backend's memory is given
	// back. Jitter keeps all from being renewed at once.
	maxConnLifetime       = time.Hour
	maxConnLifetimeJitter = 10 * time.Minute
	// maxConnIdleTime gives back what a burst needed.
	maxConnIdleTime = 10 * time.Minute
	// pingTimeout bounds the check of a connection that has been idle; without it a dead peer hangs the caller.
	pingTimeout = 5 * time.Second
	// statementCacheCapacity is the number of prepared statements per connection. All of settled's fit several times.
	statementCacheCapacity = 512
	// lockTimeout turns a wait for a lock into a retryable error. Batches hold locks for milliseconds: this long a wait
	// means that a session hangs.
	lockTimeout = 10 * time.Second
	// idleInTransactionTimeout frees the locks of a process that froze inside a transaction.
	idleInTransactionTimeout = time.Minute
)

const applicationNameDefault = "settled"

// serverVersionMin is the oldest server, as server_version_num.
const serverVersionMin = 150000

var (
	// ErrAsyncCommit says that the server acknowledges commits before they are durable.
	ErrAsyncCommit = errors.New("synchronous_commit is off: a crash loses commits that were acknowledged; set it to on")
	// ErrStandby says that the server is a read-only standby.
	ErrStandby = errors.New("the server is a standby; use the primary")
	// ErrOldServer says that the server is older than PostgreSQL 15.
	ErrOldServer = errors.New("the server is too old, PostgreSQL 15 or newer is needed")
	// ErrNotMigrated says that the service role or the tables do not exist.
	ErrNotMigrated = errors.New("the books' tables do not exist; run `settled migrate` first")
)

// Option changes how Open and OpenOwner open a pool.
type Option func(*settings)

type settings struct {
	maxConns        int32
	applicationName string
	configure       []func(*pgxpool.Config)
}

// MaxConns sets the most connections that the pool opens. Defaults to MaxConnsDefault.
func MaxConns(n int32) Option { return func(s *settings) { s.maxConns = n } }

// ApplicationName is what the server shows for the connections, in pg_stat_activity and its log. Defaults to what the
// URL says, else "settled".
func ApplicationName(name string) Option { return func(s *settings) { s.applicationName = name } }

// Configure lets change apply to the pool's configuration last, for tests that damage connections. May be given
// several times.
func Configure(change func(*pgxpool.Config)) Option {
	return func(s *settings) { s.configure = append(s.configure, change) }
}

// Open returns a pool whose connections act as ServiceRole, after asking the server whether it is fit to serve. The
// caller closes the pool. Fails with *URLError, ErrAsyncCommit, ErrStandby, ErrOldServer, ErrNotMigrated, or an error
// for which IsConnection tells whether trying again may help.
func Open(ctx context.Context, url string, options ...Option) (*pgxpool.Pool, error) {
	return open(ctx, url, ServiceRole, options)
}

// OpenOwner returns a pool whose connections act as the user that url names, for migrations, operators and tests. It
// fails as Open does.
func OpenOwner(ctx context.Context, url string, options ...Option) (*pgxpool.Pool, error) {
	return open(ctx, url, "", options)
}

// Connect returns a single connection that acts as the user that url names, for work that needs a session of its own,
// such as holding an advisory lock. It asks the server nothing. The caller closes it. Fails with *URLError or the
// driver's error.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := parsePoolConfig(url)
	if err != nil {
		return nil, err
	}
	settings{}.apply(config, url, "")
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to DATABASE_URL %s: %w", Address(url), err)
	}
	return conn, nil
}

func open(ctx context.Context, url, role string, options []Option) (*pgxpool.Pool, error) {
	config, err := parsePoolConfig(url)
	if err != nil {
		return nil, err
	}
	s := settings{}
	for _, option := range options {
		option(&s)
	}
	s.apply(config, url, role)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool for DATABASE_URL %s: %w", Address(url), err)
	}
	if err := checkServer(ctx, pool, role == ServiceRole); err != nil {
		pool.Close()
		return nil, fmt.Errorf("use DATABASE_URL %s: %w", Address(url), err)
	}
	return pool, nil
}

// apply writes the defaults, then the settings, into config, which was parsed from url.
func (s settings) apply(config *pgxpool.Config, url, role string) {
	for name, setDefault := range map[string]func(){
		"pool_max_conns":                func() { config.MaxConns = MaxConnsDefault },
		"pool_max_conn_lifetime":        func() { config.MaxConnLifetime = maxConnLifetime },
		"pool_max_conn_lifetime_jitter": func() { config.MaxConnLifetimeJitter = maxConnLifetimeJitter },
		"pool_max_conn_idle_time":       func() { config.MaxConnIdleTime = maxConnIdleTime },
		"pool_ping_timeout":             func() { config.PingTimeout = pingTimeout },
		"connect_timeout":               func() { config.ConnConfig.ConnectTimeout = connectTimeout },
		"statement_cache_capacity":      func() { config.ConnConfig.StatementCacheCapacity = statementCacheCapacity },
	} {
		if !strings.Contains(url, name+"=") {
			setDefault()
		}
	}
	config.ConnConfig.DialFunc = socket.Dialing(config.ConnConfig.DialFunc)
	if s.applicationName == "" {
		s.applicationName = applicationNameDefault
	} else {
		delete(config.ConnConfig.RuntimeParams, "application_name")
	}
	parameters := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    s.applicationName,
		"timezone":                            "UTC",
		"default_transaction_isolation":       "read committed", // what is read after a lock is what its last holder left
		"lock_timeout":                        milliseconds(lockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(idleInTransactionTimeout),
	} {
		if _, named := parameters[name]; !named {
			parameters[name] = value
		}
	}
	if role != "" {
		parameters["role"] = role
		maps.Copy(parameters, byKeysOnly)
	}
	if s.maxConns > 0 {
		config.MaxConns = s.maxConns
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		pgarray.Register(conn.TypeMap())
		_, err := conn.Exec(ctx, waitForCommitsSQL)
		return err
	}
	for _, change := range s.configure {
		change(config)
	}
}

// byKeysOnly are the planner's settings for the service. Its statements take arrays of any length and always go by keys: one plan,
// made once, serves them all. A plan made while the tables are small or without statistics would read them whole, and stay when
// they have grown; so no other way is open. What reads much on purpose sets these back in its own transaction.
var byKeysOnly = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// milliseconds writes d as PostgreSQL reads a duration without a unit.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// checkServer fails when the server is not fit to keep books, or, if they are needed, has no tables for them.
func checkServer(ctx context.Context, pool *pgxpool.Pool, needTables bool) error {
	var (
		synchronousCommit string
		standby, migrated bool
		version           int
	)
	err := pool.QueryRow(ctx, selectServerState).Scan(&synchronousCommit, &standby, &version, &migrated)
	switch {
	case isMissingRole(err):
		return fmt.Errorf("%w: %w", ErrNotMigrated, err)
	case err != nil:
		return err
	case version < serverVersionMin:
		return fmt.Errorf("%w: it is %d.%d", ErrOldServer, version/10000, version%10000)
	case standby:
		return ErrStandby
	case synchronousCommit == "off":
		return ErrAsyncCommit
	case needTables && !migrated:
		return ErrNotMigrated
	default:
		return nil
	}
}

// selectServerState reads what a connection starts with, before waitForCommitsSQL.
const selectServerState = `
SELECT (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'), pg_is_in_recovery(),
       current_setting('server_version_num')::int, to_regclass('books') IS NOT NULL`

// waitForCommitsSQL is for connections that come later than the look at the server: a database's setting may change, and a pool outlives
// it. It leaves the settings alone that wait for more than the own disk.
const waitForCommitsSQL = `
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

// isMissingRole reports whether the server refused the connection because ServiceRole does not exist. No other value
// that we send at start-up can be refused as invalid.
func isMissingRole(err error) bool {
	server := (*pgconn.PgError)(nil)
	return errors.As(err, &server) && server.Code == "22023" && server.Severity == "FATAL"
}
