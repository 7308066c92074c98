package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Interval is how often Run looks: old and new keys are valid together for days, or for the minutes of an emergency.
const Interval = 2 * time.Second

// Roster is the channels of a process. Port and Refunders may be called at any time, also while Run changes what they return.
type Roster struct {
	dir     string
	client  *http.Client
	logger  *slog.Logger
	entries map[tasks.Source]*entry // of every channel that this version knows; never changed
	metrics *metrics
}

// entry is one channel's place in the roster.
type entry struct {
	port atomic.Pointer[channel.Port] // nil: it has none yet
	seen [32]byte                     // hash of the files at the last look; Open's, then Run's alone
}

// Open loads the channels whose settings are in dir. The client makes their calls; it should have a timeout. The roster stays as it is
// until Run watches the directory. What it refuses is a *tasks.FieldError, or the error of a file that cannot be read; both name the
// file.
func Open(dir string, client *http.Client, logger *slog.Logger) (*Roster, error) {
	r := &Roster{dir: dir, client: client, logger: logger, entries: map[tasks.Source]*entry{}, metrics: newMetrics()}
	for source := range loaders {
		r.entries[source] = &entry{}
	}
	if err := checkNames(dir); err != nil {
		return nil, err
	}
	for source, e := range r.entries {
		found := look(dir, source)
		e.seen = found.hash
		if errors.Is(found.err, os.ErrNotExist) {
			continue
		}
		if err := r.load(source, e, found); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// checkNames refuses settings that no channel would read.
func checkNames(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open channels: %w", err)
	}
	var allowed []string
	for source := range loaders {
		allowed = append(allowed, settingsName(source))
	}
	slices.Sort(allowed)
	for _, file := range files {
		if name := file.Name(); strings.HasSuffix(name, ".json") && !slices.Contains(allowed, name) {
			return fmt.Errorf("open channels: %w", &tasks.FieldError{Field: name, Problem: "is no channel's settings",
				Allowed: strings.Join(allowed, ", ")})
		}
	}
	return nil
}

// Port returns the channel as its files now say; false when it was never loaded. Ask again for each notice and each call: what is
// kept does not learn of new keys.
func (r *Roster) Port(source tasks.Source) (channel.Port, bool) {
	e := r.entries[source]
	if e == nil {
		return nil, false
	}
	port := e.port.Load()
	if port == nil {
		return nil, false
	}
	return *port, true
}

// Run looks for changed files every Interval of the timer until ctx ends. It is run once.
func (r *Roster) Run(ctx context.Context, timer clock.Timer) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.After(Interval):
		}
		for source, e := range r.entries {
			r.reload(source, e)
		}
	}
}

// reload loads a channel if its files differ from those of the last look.
func (r *Roster) reload(source tasks.Source, e *entry) {
	found := look(r.dir, source)
	if found.hash == e.seen {
		return
	}
	e.seen = found.hash
	if err := r.load(source, e, found); err != nil {
		r.logger.Error("channel settings refused, the last good ones stay", slog.String("channel", string(source)), slog.Any("error", err))
		return
	}
	r.logger.Info("channel settings loaded", slog.String("channel", string(source)))
}

// load makes the channel of what was found its port, and counts how that went.
func (r *Roster) load(source tasks.Source, e *entry, found files) error {
	err := found.err
	var port channel.Port
	if err == nil {
		port, err = loaders[source](found.folder, found.settings, r.client)
	}
	if err != nil {
		r.metrics.refused(source)
		return fmt.Errorf("load %s: %w", settingsName(source), err)
	}
	e.port.Store(&port)
	r.metrics.loaded(source, port)
	return nil
}
