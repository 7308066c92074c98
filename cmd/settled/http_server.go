package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/settled-dev/settled/internal/express"
)

// The limits of every HTTP server: a client that is slower than these is not a producer of ours.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	// writeTimeout is above the longest answer: profiles of 30 s, and acceptances that wait for a slow PostgreSQL.
	writeTimeout = time.Minute
	idleTimeout  = 2 * time.Minute
	// drainTimeout is how long requests under way may take once the process is asked to end.
	drainTimeout = 15 * time.Second
)

// listen opens an address that a flag or its variable gave.
func listen(ctx context.Context, flag, setting, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &usageError{problem: fmt.Sprintf("%s or %s is %s: %v", flag, setting, quoted(address), err)}
	}
	return listener, nil
}

// serveHTTP serves until ctx ends, then lets the requests under way end. The usual calls of the busiest paths are served by themselves.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger, busiest ...string) error {
	server := express.New(&http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}, busiest)
	served := make(chan error, 1)
	// Requests under way are not cancelled when the process is asked to end: they are drained.
	go func() { served <- server.Serve(context.WithoutCancel(ctx), listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(draining)
	if errors.Is(err, context.DeadlineExceeded) {
		logger.Warn("requests under way were cut off", slog.Duration("after", drainTimeout))
		err = server.Close()
	}
	<-served
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
