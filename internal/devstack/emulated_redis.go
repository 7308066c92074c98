package devstack

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/alicebob/miniredis/v2"
)

// emulated is a Redis inside this process, for machines without redis-server.
type emulated struct {
	server  *miniredis.Miniredis
	stopped bool
}

// startEmulated starts an emulated Redis. Its keys expire by the clock: left to itself the emulator never expires any,
// and asynq's unique locks and its servers' heartbeats would stay for ever.
func startEmulated() (*Redis, error) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true)
	err := onFreePort(func(port int) error {
		err := server.StartAddr(loopback(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			return errPortTaken
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start emulated Redis: %w", err)
	}
	return &Redis{
		URL: "redis://" + server.Addr() + "/0",
		described: "Redis emulated inside this process (miniredis) on " + server.Addr() +
			": redis-server is not installed; 4 to 14 times slower than Redis and keeps nothing; install it with \"make deps\"",
		mini: &emulated{server: server},
	}, nil
}

// kill stops the server and loses its data, as a Redis without persistence does.
func (e *emulated) kill() {
	if e.stopped {
		return
	}
	e.server.Close()
	e.server.FlushAll()
	e.stopped = true
}

// restart brings the server back, empty, on the same port.
func (e *emulated) restart() error {
	e.kill()
	if err := e.server.Restart(); err != nil {
		return fmt.Errorf("restart emulated Redis: %w", err)
	}
	e.stopped = false
	return nil
}
