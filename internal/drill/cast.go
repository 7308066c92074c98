package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/clock"
)

// cast are the processes of a system under a drill: one that is killed, or ends by itself, is started again.
type cast struct {
	group    child.Group
	commands []child.Command
	clock    clock.Timer

	mu      sync.Mutex
	running []*child.Process // by the number of its command; nil while it is down
}

// raiseInterval is how often the cast is looked at: a killed process is down for as long at the most.
const raiseInterval = 700 * time.Millisecond

// keep raises what is down, until ctx ends.
func (c *cast) keep(ctx context.Context) error {
	for {
		if err := c.raise(); err != nil {
			return err
		}
		select {
		case <-c.clock.After(raiseInterval):
		case <-ctx.Done():
			return nil
		}
	}
}

// raise starts every process that is down.
func (c *cast) raise() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = make([]*child.Process, len(c.commands))
	}
	for i, command := range c.commands {
		if p := c.running[i]; p != nil {
			select {
			case <-p.Exited():
			default:
				continue
			}
		}
		process, err := c.group.Start(command)
		if err != nil {
			return err
		}
		c.running[i] = process
	}
	return nil
}

// kill ends a process by SIGKILL.
func (c *cast) kill(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	process := c.running[i]
	if process == nil {
		return nil
	}
	c.running[i] = nil
	return process.Kill()
}

// stop lets every process finish what it has begun, the last one first.
func (c *cast) stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for i := len(c.running) - 1; i >= 0; i-- {
		if c.running[i] != nil {
			errs = append(errs, c.running[i].Stop(ctx))
		}
	}
	c.running = nil
	return errors.Join(append(errs, c.group.Close())...)
}

// Mishap is something that may happen to a system at any moment.
type Mishap struct {
	Name   string
	Happen func(context.Context) error
}

// killing are the mishaps of a cast.
func (c *cast) killing() []Mishap {
	all := make([]Mishap, len(c.commands))
	for i, command := range c.commands {
		all[i] = Mishap{"kill " + command.Name, func(context.Context) error { return c.kill(i) }}
	}
	return all
}

// calmMin and calmMax are the shortest and longest pause between two mishaps.
const (
	calmMin = 300 * time.Millisecond
	calmMax = 1500 * time.Millisecond
)

// chaos lets mishaps happen one after another, drawn by a seeded source.
type chaos struct {
	mishaps []Mishap
	random  *rand.Rand
	clock   clock.Timer
}

// run goes on until ctx ends, and returns how often each mishap has happened.
func (c *chaos) run(ctx context.Context) (map[string]int, error) {
	happened := map[string]int{}
	for {
		select {
		case <-c.clock.After(calmMin + time.Duration(c.random.Int64N(int64(calmMax-calmMin)))):
		case <-ctx.Done():
			return happened, nil
		}
		m := c.mishaps[c.random.IntN(len(c.mishaps))]
		// What has begun is finished: a server that was killed is started again.
		if err := m.Happen(context.WithoutCancel(ctx)); err != nil {
			return happened, fmt.Errorf("%s: %w", m.Name, err)
		}
		happened[m.Name]++
	}
}
