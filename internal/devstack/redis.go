package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// RedisOptions say how a private Redis runs. The zero value is a server that evicts nothing and keeps nothing.
type RedisOptions struct {
	// AppendOnly makes the server log every write to a file, flushed once a second, so that Restart keeps the data.
	// Defaults to false: Kill, Stop and Restart lose all.
	AppendOnly bool
	// UnixSocket makes the server listen on a socket in its directory as well. Defaults to false.
	UnixSocket bool
	// FallbackMiniredis uses a Redis emulated inside this process when redis-server is not installed. It is 4 to 14
	// times slower, keeps nothing, and evicts nothing. Defaults to false: *MissingError.
	FallbackMiniredis bool
	// BaseDir is where the server's directory is made. As root it must be a directory that every user can pass
	// through and write to. Defaults to the system's directory for temporary files.
	BaseDir string
}

// Redis is a Redis server. Its methods may be called at the same time; they wait for each other.
type Redis struct {
	// URL names database 0 on the server, over TCP. It stays the same over restarts.
	URL string
	// SocketURL is the same over the Unix socket, when there is one.
	SocketURL string

	described string
	sentinel  string // the configuration of a Sentinel; empty for a server that keeps data

	mu      sync.Mutex
	home    *home // nil when the server is not ours, or is emulated
	path    string
	options RedisOptions
	port    int
	version string
	process *process // nil while stopped
	mini    *emulated
}

// StartRedis starts an empty server and returns when it answers. ctx bounds the start, not the server's life: that
// ends with Stop or with this process. Fails with *MissingError when Redis is not installed.
func StartRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	path, err := installed.redis()
	if missing := (*MissingError)(nil); errors.As(err, &missing) && options.FallbackMiniredis {
		return startEmulated()
	}
	if err != nil {
		return nil, err
	}
	return launchRedis(ctx, &Redis{path: path, options: options})
}

// launchRedis gives a server a home and a port, and starts it there.
func launchRedis(ctx context.Context, r *Redis) (*Redis, error) {
	as, err := serverAccount("redis", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	home, err := newHome("Redis", r.options.BaseDir, "KILL", as)
	if err != nil {
		return nil, err
	}
	r.home = home
	err = onFreePort(func(port int) error {
		r.port = port
		return r.start(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, home.remove())
	}
	r.describe()
	return r, nil
}

// Describe says in one line which server this is, without secrets.
func (r *Redis) Describe() string { return r.described }

// PID returns the process id of the running server, or 0 when it is stopped, emulated or not ours.
func (r *Redis) PID() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return 0
	}
	return r.process.pid()
}

// Stop ends the server and removes its data. Stopping twice, or a server that is not ours, does nothing.
func (r *Redis) Stop(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mini != nil {
		r.mini.kill()
		r.mini = nil
	}
	if r.home == nil {
		return nil
	}
	r.endInOrder(ctx)
	home := r.home
	r.home = nil
	return home.remove()
}

// Kill stops the server by SIGKILL. Restart brings it back, with its data if it is append-only, else empty. Killing a
// stopped server does nothing. Fails with ErrNotOurs.
func (r *Redis) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.mini != nil:
		r.mini.kill()
	case r.home != nil:
		r.endAtOnce()
	default:
		return ErrNotOurs
	}
	return nil
}

// Restart stops the server, when it runs, in order or (immediate) by SIGKILL, and returns when it answers again on the
// same port: with its data if it is append-only, else empty. Fails with ErrNotOurs, or when ctx ends first; it may then
// be called again.
func (r *Redis) Restart(ctx context.Context, immediate bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mini != nil {
		return r.mini.restart()
	}
	if r.home == nil {
		return ErrNotOurs
	}
	if immediate {
		r.endAtOnce()
	} else {
		r.endInOrder(ctx)
	}
	return onSamePort(ctx, func() error { return r.start(ctx) })
}

// start runs the server on r.port and returns when it answers. The caller holds mu, or is alone.
func (r *Redis) start(ctx context.Context) error {
	args, err := r.arguments()
	if err != nil {
		return err
	}
	r.URL = "redis://" + loopback(r.port) + "/0"
	process, err := r.home.start(r.path, args...)
	if err != nil {
		return err
	}
	err = process.untilReady(ctx, func(ctx context.Context) error { return r.ask(ctx, process.pid()) })
	if err != nil {
		process.endAtOnce(syscall.SIGTERM)
		return err
	}
	r.process = process
	return nil
}

// arguments are the server's command line.
func (r *Redis) arguments() ([]string, error) {
	place := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.home.dir, "--daemonize", "no"}
	if r.sentinel != "" {
		config := filepath.Join(r.home.dir, "sentinel.conf") // Sentinel writes into it what it learns
		if err := os.WriteFile(config, []byte(r.sentinel), 0o600); err != nil {
			return nil, fmt.Errorf("write the configuration of Sentinel: %w", err)
		}
		return append([]string{config, "--sentinel"}, place...), r.home.as.own(config)
	}
	appendOnly := "no"
	if r.options.AppendOnly {
		appendOnly = "yes"
	}
	args := append(place, "--save", "", "--appendonly", appendOnly, "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")
	socket := filepath.Join(r.home.dir, "redis.sock")
	if r.options.UnixSocket && len(socket) <= socketPathMax {
		args = append(args, "--unixsocket", socket, "--unixsocketperm", "700")
		r.SocketURL = "unix://" + socket + "?db=0"
	}
	return args, nil
}

var (
	redisProcessID = regexp.MustCompile(`(?m)^process_id:(\d+)`)
	redisVersion   = regexp.MustCompile(`(?m)^redis_version:(\S+)`)
	redisLoading   = regexp.MustCompile(`(?m)^loading:1`)
)

// ask succeeds when the server on our port answers, has loaded its data, and is process pid (invariant 4).
func (r *Redis) ask(ctx context.Context, pid int) error {
	// The client complains on standard error about a server that does not listen yet.
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", loopback(r.port))
	if err != nil {
		return err
	}
	_ = conn.Close()
	info, err := redisInfo(ctx, r.URL)
	if err != nil {
		return err
	}
	if found := firstMatch(redisProcessID, info); found != strconv.Itoa(pid) {
		return fmt.Errorf("port %d is served by process %s, not by ours: %w", r.port, found, errPortTaken)
	}
	if redisLoading.MatchString(info) {
		return errors.New("loading its data")
	}
	r.version = firstMatch(redisVersion, info)
	return nil
}

// redisInfo asks the server at url about itself, once.
func redisInfo(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", err
	}
	options.MaxRetries, options.DialerRetries, options.PoolSize = -1, 1, 1 // the caller asks again, and sooner
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	return client.Info(ctx).Result()
}

// endInOrder stops the process, if one runs, and lets it flush its append-only file. The caller holds mu.
func (r *Redis) endInOrder(ctx context.Context) {
	if r.process != nil {
		r.process.endInOrder(ctx, syscall.SIGTERM, syscall.SIGKILL)
		r.process = nil
	}
}

// endAtOnce kills the process, if one runs. The caller holds mu.
func (r *Redis) endAtOnce() {
	if r.process != nil {
		r.process.endAtOnce(syscall.SIGKILL)
		r.process = nil
	}
}

func (r *Redis) describe() {
	keeps := "keeps nothing"
	if r.options.AppendOnly {
		keeps = "append-only"
	}
	r.described = fmt.Sprintf("Redis %s from %s, private, %s, noeviction, on %s%s, data in %s",
		r.version, r.path, keeps, loopback(r.port), r.home.as, r.home.dir)
}

func firstMatch(pattern *regexp.Regexp, text string) string {
	if match := pattern.FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return ""
}
