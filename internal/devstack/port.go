package devstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Ports below 32768 are not given to outgoing connections, neither by Linux (32768 up) nor by macOS (49152 up); those
// below 15000 are left to well-known services.
const (
	portLow  = 15000
	portHigh = 32000
)

// portAttempts bounds how often another port is tried when one turns out to be taken.
const portAttempts = 20

// samePortPoll is how often a restart tries the port that it must keep.
const samePortPoll = 100 * time.Millisecond

// errPortTaken says that a server could not bind its port.
var errPortTaken = errors.New("port is taken by another process")

// FreePort returns a loopback port on which nobody listens now, for a server of one's own that must keep its port over restarts.
// Another process may take it before it is used.
func FreePort() (int, error) { return freePort() }

// freePort returns a loopback port on which nobody listens now. Another process may take it before it is used.
func freePort() (int, error) {
	var last error
	for range portAttempts {
		port := portLow + rand.IntN(portHigh-portLow)
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			last = err
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("close probe of port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("find a free port, %d tried: %w", portAttempts, last)
}

// onFreePort calls start with free ports until it does not fail with errPortTaken.
func onFreePort(start func(port int) error) error {
	var last error
	for range portAttempts {
		port, err := freePort()
		if err != nil {
			return err
		}
		if last = start(port); !errors.Is(last, errPortTaken) {
			return last
		}
	}
	return last
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// onSamePort calls start until it does not fail with errPortTaken or ctx ends, for a server that must keep its port.
func onSamePort(ctx context.Context, start func() error) error {
	tick := time.NewTicker(samePortPoll)
	defer tick.Stop()
	for {
		err := start()
		if !errors.Is(err, errPortTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
