package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/settled-dev/settled/internal/clock"
)

// gcPercent is how much garbage may gather, in percent of what lives: these processes hold some 10 MB and leave hundreds behind in a
// second. GOGC sets it otherwise, and GOMEMLIMIT bounds it (docs/adr/0012).
const gcPercent = 400

// limitMemory bounds what Go holds, unless GOMEMLIMIT does.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// What Redis does not answer comes back as an error, and is told where it is known what it means.
	redis.SetLogger(&logging.VoidLogger{})
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	program := &Program{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		LookupEnv: os.LookupEnv, Environ: os.Environ,
		Signals: signals, Abort: func() { os.Exit(exitInterrupted) },
		LimitMemory: limitMemory, Clock: clock.System,
	}
	os.Exit(program.Main(context.Background(), os.Args[1:]))
}
