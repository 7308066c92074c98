package main

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/redisurl"
	"github.com/settled-dev/settled/internal/telemetry"
)

// settingTag names a flag's variable in the environment. kong has a tag of its own for this, which reads the environment of the
// process and not the program's.
const settingTag = "setting"

// databaseFlags say where PostgreSQL is.
type databaseFlags struct {
	DatabaseURL string `name:"database-url" setting:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL, such as postgres://user:password@host:5432/database."`
}

func (f databaseFlags) require() (string, error) {
	if f.DatabaseURL == "" {
		return "", &usageError{problem: "DATABASE_URL is not set; it looks like postgres://user:password@host:5432/database. " +
			"For a server to try things on, run `settled dev`"}
	}
	return f.DatabaseURL, nil
}

// redisFlags say where Redis is.
type redisFlags struct {
	RedisURL string `name:"redis-url" setting:"REDIS_URL" placeholder:"URL" help:"Redis, such as redis://user:password@host:6379/0, or Sentinels and their master's name: redis://host:26379/0?master_name=NAME&addr=host2:26379."`
}

func (f redisFlags) require() (redisurl.Server, error) {
	if f.RedisURL == "" {
		return redisurl.Server{}, &usageError{problem: "REDIS_URL is not set; it looks like " + redisurl.Example + ". " +
			"For a server to try things on, run `settled dev`"}
	}
	server, err := redisurl.Parse(f.RedisURL)
	if err != nil {
		return server, &usageError{problem: "REDIS_URL " + err.Error()}
	}
	return server, nil
}

// open connects to Redis when it is first asked. The caller closes the client.
func (f redisFlags) open() (*redis.Client, error) {
	server, err := f.require()
	if err != nil {
		return nil, err
	}
	return server.Open(), nil
}

// processFlags are those of every process that serves.
type processFlags struct {
	MetricsListen string `name:"metrics-listen" setting:"SETTLED_METRICS_LISTEN" placeholder:"ADDRESS" default:"127.0.0.1:9090" help:"Where to serve /metrics, /healthz and /readyz (default ${default}); off serves none."`
	Pprof         bool   `setting:"SETTLED_PPROF" help:"Serve profiles under /debug/pprof/ at the same address."`
	LogLevel      string `name:"log-level" setting:"SETTLED_LOG_LEVEL" placeholder:"LEVEL" default:"info" help:"debug, info, warn or error (default ${default})."`
	LogFormat     string `name:"log-format" setting:"SETTLED_LOG_FORMAT" placeholder:"FORMAT" default:"text" help:"text or json (default ${default})."`
}

func (f processFlags) logger(p *Program) (*slog.Logger, error) {
	logger, err := telemetry.NewLogger(p.Stderr, telemetry.LogConfig{Level: f.LogLevel, Format: f.LogFormat})
	if err != nil {
		return nil, &usageError{problem: fmt.Sprintf("SETTLED_LOG_LEVEL or SETTLED_LOG_FORMAT: %v", err)}
	}
	return logger, nil
}

// environment gives flags that are not on the command line their variables' values. A variable that is set but empty counts as not
// set: Compose files and shells pass on such.
func (p *Program) environment() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := flag.Tag.Get(settingTag)
		if name == "" {
			return nil, nil
		}
		value, set := p.LookupEnv(name)
		if !set || value == "" {
			return nil, nil
		}
		return value, checkSetting(flag, name, value)
	})
}

// checkSetting names the variable when its value does not fit the flag; kong itself would name the flag only.
func checkSetting(flag *kong.Flag, name, value string) error {
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})
	trial := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, trial); err != nil {
		return errors.New(name + " cannot be used: " + err.Error())
	}
	return nil
}

// describeFlag adds a flag's variable to its help.
func describeFlag(value *kong.Value) string {
	name := value.Tag.Get(settingTag)
	if name == "" {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " ($" + name + ")."
}
