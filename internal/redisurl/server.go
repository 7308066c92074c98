package redisurl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/socket"
)

// Example is how a URL may look, for messages.
const Example = "redis://user:password@host:6379/0, or redis://sentinel:26379/0?master_name=NAME&addr=sentinel2:26379"

// dialTimeout is go-redis's own, which it does not set for a dialer that is given.
const dialTimeout = 5 * time.Second

// Error refuses a URL.
type Error struct{ problem string }

// Error implements error.
func (e *Error) Error() string { return e.problem + "; it looks like " + Example }

// Server is where a Redis is. Exactly one of its fields is set; they may be changed before Open.
type Server struct {
	One     *redis.Options         // a server at an address
	Watched *redis.FailoverOptions // the master that Sentinels name
}

// Parse reads a URL. It returns an *Error.
func Parse(raw string) (Server, error) {
	parsed, err := url.Parse(raw)
	if err != nil {
		return Server{}, &Error{problem: "is not a Redis URL"}
	}
	var server Server
	query := parsed.Query()
	if query.Has("master_name") {
		server.Watched, err = redis.ParseFailoverURL(raw)
	} else {
		server.One, err = redis.ParseURL(raw)
	}
	switch {
	case err != nil && (parsed.User != nil || query.Has("password")):
		return Server{}, &Error{problem: "is not a Redis URL"}
	case err != nil:
		return Server{}, &Error{problem: fmt.Sprintf("cannot be used: %v", err)}
	case server.Watched == nil:
		return server, nil
	case server.Watched.MasterName == "":
		return Server{}, &Error{problem: "has an empty master_name"}
	case server.Watched.ReplicaOnly || server.Watched.RouteByLatency || server.Watched.RouteRandomly:
		return Server{}, &Error{problem: "leads to replicas, which take no tasks"}
	}
	return server, nil
}

// String says where the server is, without secrets.
func (s Server) String() string {
	if s.Watched == nil {
		return fmt.Sprintf("%s/%d", s.One.Addr, s.One.DB)
	}
	return fmt.Sprintf("master %s of Sentinel %s/%d", s.Watched.MasterName, strings.Join(s.Watched.SentinelAddrs, ", "), s.Watched.DB)
}

// Open makes a client, which connects when it is first asked, with connections that cost Go's scheduler less. The caller closes it.
func (s Server) Open() *redis.Client {
	if s.Watched == nil {
		own := *s.One // a dialer reads them whenever it dials
		if own.DialTimeout == 0 {
			own.DialTimeout = dialTimeout
		}
		if own.Dialer == nil {
			own.Dialer = own.NewDialer()
		}
		own.Dialer = socket.Dialing(own.Dialer)
		return redis.NewClient(&own)
	}
	return redis.NewFailoverClient(s.watched())
}

// watched is a copy of the options with a dialer, which dials Sentinels and masters alike.
func (s Server) watched() *redis.FailoverOptions {
	own := *s.Watched
	own.SentinelAddrs = slices.Clone(own.SentinelAddrs)
	if own.DialTimeout == 0 {
		own.DialTimeout = dialTimeout
	}
	if own.Dialer == nil {
		own.Dialer = dialer(own.DialTimeout, own.TLSConfig)
	}
	own.Dialer = socket.Dialing(own.Dialer)
	return &own
}

// dialer expects of each host the certificate of its own name; go-redis would expect the first Sentinel's of all.
func dialer(timeout time.Duration, encryption *tls.Config) socket.Dial {
	plain := (&redis.Options{DialTimeout: timeout}).NewDialer()
	if encryption == nil {
		return plain
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial redis: %w", err)
		}
		config := encryption.Clone()
		config.ServerName = host
		return (&redis.Options{DialTimeout: timeout, TLSConfig: config}).NewDialer()(ctx, network, address)
	}
}

// ErrNotWatched says that no Sentinel watches the server.
var ErrNotWatched = errors.New("REDIS_URL names no Sentinel: it has no master_name")

// Failover has the first Sentinel that answers make a replica the master, whether or not the present one is well, and returns once
// Sentinel has begun with it. It fails with ErrNotWatched, or with what the Sentinels say, such as that there is no good replica.
func (s Server) Failover(ctx context.Context) error {
	return s.askSentinel(ctx, func(sentinel *redis.SentinelClient) error {
		return sentinel.Failover(ctx, s.Watched.MasterName).Err()
	})
}

// Master is the address of the present master, as Sentinel tells it. It fails as Failover does.
func (s Server) Master(ctx context.Context) (string, error) {
	var address string
	err := s.askSentinel(ctx, func(sentinel *redis.SentinelClient) error {
		parts, err := sentinel.GetMasterAddrByName(ctx, s.Watched.MasterName).Result()
		address = strings.Join(parts, ":")
		return err
	})
	return address, err
}

func (s Server) askSentinel(ctx context.Context, ask func(*redis.SentinelClient) error) error {
	if s.Watched == nil {
		return ErrNotWatched
	}
	options := s.watched()
	problems := make([]error, 0, len(options.SentinelAddrs))
	for _, address := range options.SentinelAddrs {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: address, Username: options.SentinelUsername,
			Password: options.SentinelPassword, Dialer: options.Dialer, MaxRetries: -1, DialerRetries: 1})
		err := errors.Join(ask(sentinel), sentinel.Close())
		if err == nil || ctx.Err() != nil {
			return err
		}
		problems = append(problems, fmt.Errorf("sentinel %s: %w", address, err))
	}
	return errors.Join(problems...)
}
