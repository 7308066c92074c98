package tasks

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Doorbell puts rings into asynq's queues, many in one round trip. It may be used by several goroutines at once.
//
// asynq v0.26 has no bulk enqueue. The doorbell lets asynq build its own scripts against a client that records them instead of
// sending, and sends the record as one pipeline; a test pins the shapes that this relies on.
type Doorbell struct {
	redis redis.UniversalClient

	plain *asynq.Client // enqueues one task in full, which loads the script into Redis

	mu       sync.Mutex // asynq writes to the recorder while it is held
	recorder *scriptRecorder
	client   *asynq.Client
}

// NewDoorbell makes a doorbell over a client that the caller owns and closes.
func NewDoorbell(client redis.UniversalClient) *Doorbell {
	recorder := &scriptRecorder{UniversalClient: client}
	return &Doorbell{redis: client, plain: asynq.NewClientFromRedisClient(client), recorder: recorder,
		client: asynq.NewClientFromRedisClient(recorder)}
}

// Ring enqueues the bells in rings of at most size requests. It may be called twice for the same bells: a second ring finds
// nothing to do. An error leaves it open which rings arrived; the relay repeats those that matter.
func (d *Doorbell) Ring(ctx context.Context, bells []Bell, size int, again bool) error {
	if len(bells) == 0 {
		return nil
	}
	rings := make([]*asynq.Task, 0, 1)
	for _, ring := range ringsOf(bells, size, again) {
		task, err := ring.Task()
		if err != nil {
			return err
		}
		rings = append(rings, task)
	}
	scripts, err := d.record(ctx, rings)
	if err != nil {
		return err
	}
	queues := queuesOf(bells)
	err = d.send(ctx, scripts, queues)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		// A restarted Redis has forgotten the script, so none of the pipeline ran.
		if _, err = d.plain.EnqueueContext(ctx, rings[0]); err == nil && len(scripts) > 1 {
			err = d.send(ctx, scripts[1:], queues)
		}
	}
	if err != nil {
		return fmt.Errorf("ring %d requests: %w", len(bells), err)
	}
	return nil
}

func queuesOf(bells []Bell) []any {
	var queues []any
	for _, queue := range Queues() {
		if slices.ContainsFunc(bells, func(b Bell) bool { return b.Kind.Queue() == queue }) {
			queues = append(queues, string(queue))
		}
	}
	return queues
}

func (d *Doorbell) record(ctx context.Context, rings []*asynq.Task) ([]recordedScript, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { d.recorder.scripts = nil }()
	for _, ring := range rings {
		if _, err := d.client.EnqueueContext(ctx, ring); err != nil {
			return nil, fmt.Errorf("build ring: %w", err)
		}
	}
	return d.recorder.scripts, nil
}

// send runs the scripts in one pipeline. The queues are published each time: asynq's client publishes a queue once in its life, so
// after Redis was wiped the inspector would not see it again.
func (d *Doorbell) send(ctx context.Context, scripts []recordedScript, queues []any) error {
	_, err := d.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.SAdd(ctx, "asynq:queues", queues...)
		for _, script := range scripts {
			pipe.EvalSha(ctx, script.sha, script.keys, script.args...)
		}
		return nil
	})
	return err
}

// Ping says whether Redis answers.
func (d *Doorbell) Ping(ctx context.Context) error {
	if err := d.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

type recordedScript struct {
	sha  string
	keys []string
	args []any
}

// scriptRecorder stands in for Redis while asynq builds an enqueue.
type scriptRecorder struct {
	redis.UniversalClient
	scripts []recordedScript
}

// EvalSha records the script and answers what a fresh enqueue answers.
func (r *scriptRecorder) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	r.scripts = append(r.scripts, recordedScript{sha: sha, keys: keys, args: args})
	return redis.NewCmdResult(int64(1), nil)
}

// SAdd swallows asynq's publishing of a queue; Doorbell does it.
func (r *scriptRecorder) SAdd(context.Context, string, ...any) *redis.IntCmd {
	return redis.NewIntResult(1, nil)
}
