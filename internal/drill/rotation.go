package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// rotation gives each channel new keys once, in the middle of a drill, and watches the API's own count of notices that are not genuine: it
// may grow until the process has loaded the new keys, and never after.
type rotation struct {
	channels *door // the simulator's control
	metrics  *door // of the API's process
	clock    clock.Timer

	mu       sync.Mutex // guards what follows
	rotated  map[tasks.Source]time.Time
	refused  int      // notices that were refused since the first rotation
	problems []string // notices that were refused although the keys were loaded
}

// keysSeen is what the API's process tells of keys and notices.
type keysSeen struct {
	started float64                  // unix seconds; another value is another process
	loads   map[tasks.Source]float64 // how often keys were loaded
	refused map[tasks.Source]float64 // notices that were not genuine
}

// keyWatch is what is known of one channel's keys in the API's process.
type keyWatch struct {
	process float64
	loads   float64 // when the process was first seen, or keys were rotated
	loaded  bool    // it has the new keys
	settled bool    // refused was read after that: what was under way has been counted
	refused float64 // at the last look
}

const (
	keysLookInterval = 250 * time.Millisecond
	// startedWithin is how far the time that a process tells of its start may be off: the system counts it in whole seconds.
	startedWithin = 2 * time.Second
)

// run rotates after the pause, and watches until ctx ends.
func (r *rotation) run(ctx context.Context, pause time.Duration) error {
	if !r.wait(ctx, pause) {
		return nil
	}
	watches := map[tasks.Source]*keyWatch{}
	for _, source := range tasks.Channels() {
		before, err := r.rotate(ctx, source)
		if err != nil || ctx.Err() != nil {
			return err
		}
		watches[source] = &keyWatch{process: before.started, loads: before.loads[source], refused: before.refused[source]}
	}
	for r.wait(ctx, keysLookInterval) {
		seen, err := r.look(ctx)
		if err != nil {
			continue // it was killed
		}
		for source, watch := range watches {
			r.judge(source, watch, seen)
		}
	}
	return nil
}

// rotate changes a channel's keys and returns what was seen just before. An attempt that failed may have changed them too: the next one
// waits until the API has loaded those.
func (r *rotation) rotate(ctx context.Context, source tasks.Source) (keysSeen, error) {
	for {
		before, err := r.look(ctx)
		if err == nil {
			err = r.channels.ask(ctx, http.MethodPost, "/rotate/"+string(source), nil, nil)
		}
		var refused *refusedError
		switch {
		case err == nil:
			r.mu.Lock()
			r.rotated[source] = r.clock.Now()
			r.mu.Unlock()
			return before, nil
		case errors.As(err, &refused):
			return before, fmt.Errorf("rotate keys of %s: %w", source, err)
		case !r.wait(ctx, 2*roster.Interval):
			return before, nil
		}
	}
}

// judge looks at one channel. Only a process that is known to have the new keys is judged.
func (r *rotation) judge(source tasks.Source, watch *keyWatch, seen keysSeen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seen.started != watch.process {
		after := float64(r.rotated[source].Add(startedWithin).UnixNano()) / float64(time.Second)
		*watch = keyWatch{process: seen.started, loads: seen.loads[source], loaded: seen.started > after}
	}
	more := int(seen.refused[source] - watch.refused)
	watch.refused = seen.refused[source]
	r.refused += more
	switch {
	case !watch.loaded:
		watch.loaded = seen.loads[source] > watch.loads
	case !watch.settled:
		watch.settled = true
	case more > 0:
		r.problems = append(r.problems, fmt.Sprintf("%d notices of %s were refused although the API had its new keys", more, source))
	}
}

// done says that every channel has new keys.
func (r *rotation) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rotated) == len(tasks.Channels())
}

// report tells what came of it.
func (r *rotation) report(report *ChannelsReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Mishaps["rotate a channel's keys"], report.Refused = len(r.rotated), r.refused
	report.Lost = append(report.Lost, r.problems...)
}

func (r *rotation) wait(ctx context.Context, pause time.Duration) bool {
	select {
	case <-r.clock.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// look reads the API's metrics.
func (r *rotation) look(ctx context.Context) (keysSeen, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := r.metrics.do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return keysSeen{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil {
		return keysSeen{}, fmt.Errorf("read metrics: %w", err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), " "); found {
			values[name], _ = strconv.ParseFloat(value, 64) // of comments it is nothing
		}
	}
	seen := keysSeen{started: values["process_start_time_seconds"], loads: map[tasks.Source]float64{}, refused: map[tasks.Source]float64{}}
	for _, source := range tasks.Channels() {
		seen.loads[source] = values[fmt.Sprintf("settled_channel_settings_reloads_total{channel=%q,result=\"loaded\"}", source)]
		seen.refused[source] = values[fmt.Sprintf("settled_intake_notices_total{channel=%q,result=\"not_genuine\"}", source)]
	}
	if seen.started == 0 || seen.loads[tasks.SourceWeChat] == 0 {
		return keysSeen{}, errors.New("the API's metrics tell nothing of channels")
	}
	return seen, nil
}
