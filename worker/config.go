package worker

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/redisurl"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Config configures a Worker. What it points to is the caller's, who closes it after Shutdown: the ledger first, then the client, the
// pool and Redis. A Redis client that is closed under running servers makes asynq panic.
type Config struct {
	// Ledger applies the requests. Required.
	Ledger *ledger.Ledger
	// Client accepts what channels answer. Required.
	Client *tasks.Client
	// Pool is the ledger's database; readiness and the policy are asked of it. Required.
	Pool *pgxpool.Pool
	// Redis carries the queues; RedisOptions and OpenRedis open it. Required.
	Redis redis.UniversalClient
	// Refunders are the channels that refunds are paid through. A refund through another one waits for a worker that has it.
	Refunders map[tasks.Source]channel.Refunder

	// Servers is how many asynq servers serve each queue. A queue that is left out is not served by this process. Defaults to
	// ServersDefault.
	Servers map[tasks.Queue]int
	// Concurrency is how many tasks one server works on at once. They wait in the ledger's lanes together, so it bounds the size
	// of a batch of single requests, not the load on PostgreSQL. Defaults to 64.
	Concurrency int
	// PollInterval is how often a server asks for work when another server of its queue waits for it. Without idle waiting it is
	// the longest that a task lies in an idle queue. Defaults to 100 ms; to 10 ms with PollOnly.
	PollInterval time.Duration
	// PollOnly makes idle servers poll instead of waiting inside Redis: for proxies that refuse blocking commands.
	PollOnly bool
	// DoneAlone ends each finished task by asynq's own script instead of one script for those that finish together.
	DoneAlone bool
	// ChannelCallsMax bounds the calls to channels that are under way at once. Defaults to 32.
	ChannelCallsMax int
	// ChannelRate bounds the calls to one channel, in calls a second of this process, 1 to 10,000. Defaults to as many as there are.
	ChannelRate int
	// ChannelTimeout bounds one call. Defaults to 15 s.
	ChannelTimeout time.Duration
	// StartsMax is after how many starts without an end a request is dead, when its process ended each time. Defaults to 10.
	StartsMax int
	// RelayInterval is how often the relay looks for due requests and a wiped Redis. Defaults to 500 ms. The special value -1 runs
	// no relay here.
	RelayInterval time.Duration
	// ShutdownTimeout is how long Shutdown lets tasks finish before it gives them back to Redis. Defaults to 10 s.
	ShutdownTimeout time.Duration

	// Logger is told of each delivery. Defaults to none.
	Logger *slog.Logger
	// Registerer takes the metrics, and loses the queue sizes at Shutdown. Defaults to none.
	Registerer prometheus.Registerer
	// Clock measures. Defaults to the system's.
	Clock clock.Timer
}

// ServersDefault is a new map of how many servers serve each queue: refunds are the bulk, and one server is bound by its single
// dequeue loop with half a core idle.
func ServersDefault() map[tasks.Queue]int {
	return map[tasks.Queue]int{tasks.Critical: 1, tasks.Refunds: 4, tasks.Sweeps: 1, tasks.Low: 1}
}

// RedisOptions reads a Redis URL, and sets what its text leaves open to what a worker with these servers needs; nil means
// ServersDefault. The pool holds a connection for each server, because an idle one blocks its own, and twenty for the rest. Nothing is
// retried inside the client: a dequeue that is repeated after its reply was lost would take a second task and leave the first one
// lying for a minute, and every other command has somebody who repeats it.
func RedisOptions(url string, servers map[tasks.Queue]int) (*redis.Options, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		// The error is not wrapped: it may hold the URL, and the URL a password.
		return nil, &ConfigError{Field: "redis URL", Problem: "cannot be read", Allowed: "such as redis://user:password@host:6379/0"}
	}
	suit(servers, &options.PoolSize, &options.MaxRetries, &options.DialerRetries)
	return options, nil
}

// suit sets what RedisOptions sets.
func suit(servers map[tasks.Queue]int, poolSize, maxRetries, dialerRetries *int) {
	if servers == nil {
		servers = ServersDefault()
	}
	if *poolSize == 0 {
		*poolSize = 20
		for _, n := range servers {
			*poolSize += n
		}
	}
	if *maxRetries == 0 {
		*maxRetries = -1
	}
	*dialerRetries = 1
}

// OpenRedis is redis.NewClient, with connections that cost Go's scheduler less. The caller closes the client.
func OpenRedis(options *redis.Options) *redis.Client { return redisurl.Server{One: options}.Open() }

// OpenRedisURL opens Redis as RedisOptions and OpenRedis do, or, when the URL has a master_name, the master that Sentinels name:
//
//	redis://sentinel1:26379/0?master_name=NAME&addr=sentinel2:26379&addr=sentinel3:26379
//
// The Sentinels' user and password stand before the @, the master's are &username= and &password=. After a failover the client goes on
// with the new master; what that one does not hold is noticed as a wipe (W7). The caller closes the client. It returns a *ConfigError.
func OpenRedisURL(url string, servers map[tasks.Queue]int) (*redis.Client, error) {
	server, err := redisurl.Parse(url)
	if err != nil {
		return nil, &ConfigError{Field: "redis URL", Problem: "cannot be read", Allowed: "such as " + redisurl.Example}
	}
	if one := server.One; one != nil {
		suit(servers, &one.PoolSize, &one.MaxRetries, &one.DialerRetries)
	} else {
		suit(servers, &server.Watched.PoolSize, &server.Watched.MaxRetries, &server.Watched.DialerRetries)
	}
	return server.Open(), nil
}

// ConfigError refuses a configuration for one of its fields.
type ConfigError struct {
	Field   string
	Problem string
	Allowed string
}

// Error implements error.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("worker's %s %s; allowed: %s", e.Field, e.Problem, e.Allowed)
}

func (c Config) withDefaults() Config {
	if c.Servers == nil {
		c.Servers = ServersDefault()
	}
	if c.PollInterval == 0 {
		c.PollInterval = 100 * time.Millisecond
		if c.PollOnly {
			c.PollInterval = 10 * time.Millisecond
		}
	}
	c.Concurrency = orDefault(c.Concurrency, 64)
	c.ChannelCallsMax = orDefault(c.ChannelCallsMax, 32)
	c.ChannelTimeout = orDefault(c.ChannelTimeout, 15*time.Second)
	c.StartsMax = orDefault(c.StartsMax, 10)
	c.RelayInterval = orDefault(c.RelayInterval, 500*time.Millisecond)
	c.ShutdownTimeout = orDefault(c.ShutdownTimeout, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System
	}
	return c
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// check returns a *ConfigError for the first field that is not allowed.
func (c Config) check() error {
	switch {
	case c.Ledger == nil || c.Client == nil || c.Pool == nil || c.Redis == nil:
		return &ConfigError{Field: "parts", Problem: "are not all given", Allowed: "Ledger, Client, Pool and Redis"}
	case c.Concurrency < 1 || c.Concurrency > 1000:
		return &ConfigError{Field: "concurrency", Problem: fmt.Sprintf("is %d", c.Concurrency), Allowed: "1 to 1000"}
	case c.ShutdownTimeout < time.Second:
		return &ConfigError{Field: "shutdown timeout", Problem: "is " + c.ShutdownTimeout.String(), Allowed: "1s or more"}
	case c.PollInterval < time.Millisecond:
		return &ConfigError{Field: "poll interval", Problem: "is " + c.PollInterval.String(), Allowed: "1ms or more"}
	case c.StartsMax < startsTogether+1:
		return &ConfigError{Field: "starts", Problem: fmt.Sprintf("are limited to %d", c.StartsMax), Allowed: fmt.Sprint(startsTogether+1) + " or more"}
	case c.ChannelTimeout < time.Millisecond:
		return &ConfigError{Field: "channel timeout", Problem: "is " + c.ChannelTimeout.String(), Allowed: "1ms or more"}
	case c.ChannelRate < 0 || c.ChannelRate > 10_000:
		return &ConfigError{Field: "channel rate", Problem: fmt.Sprintf("is %d", c.ChannelRate), Allowed: "1 to 10000 a second, or 0 for any"}
	case c.ChannelCallsMax < 1:
		return &ConfigError{Field: "channel calls", Problem: fmt.Sprintf("are limited to %d", c.ChannelCallsMax), Allowed: "1 or more"}
	}
	for _, queue := range slices.Sorted(maps.Keys(c.Servers)) {
		if n := c.Servers[queue]; n < 0 || n > 64 || !slices.Contains(tasks.Queues(), queue) {
			return &ConfigError{Field: "servers", Problem: fmt.Sprintf("are %d for queue %q", n, queue),
				Allowed: fmt.Sprintf("0 to 64 for each of %v", tasks.Queues())}
		}
	}
	return nil
}
