package intake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/settled-dev/settled/tasks"
)

// A chunk is accepted with one insert: as many requests as a ring names, and not so many bytes that they matter.
const (
	// ChunkMax is how many requests a chunk holds at most.
	ChunkMax      = tasks.RingIDsMax
	chunkBytesMax = 4 << 20
)

// ItemAnswer is what one request of many gets. The command line answers in this form too.
type ItemAnswer struct {
	Line    int            `json:"line,omitempty" doc:"Of a stream: the number of the line, from 1. Blank lines count, and get no answer."`
	Index   *int           `json:"index,omitempty" doc:"Of a list: the place in it, from 0."`
	Status  string         `json:"status" enum:"accepted,replayed,conflict,refused,stopped" doc:"What became of the request. stopped ends a stream: whether this line and those after it were accepted is unknown; send them again."`
	ID      string         `json:"id,omitempty" doc:"Of the stored request; absent when that is another producer's."`
	Key     string         `json:"key,omitempty"`
	Outcome *tasks.Outcome `json:"outcome,omitempty" doc:"Of a replay that was decided before."`
	Fields  []tasks.Diff   `json:"fields,omitempty" doc:"Of a conflict: what differs between the stored request and this one; absent when that is another producer's."`
	Error   *FieldProblem  `json:"error,omitempty" doc:"Of a refusal: the field at fault. Nothing is stored."`
	Problem *Problem       `json:"problem,omitempty" doc:"Of the end of a stream: why it was stopped. Of a conflict: that the key is another producer's."`
}

func (a *ItemAnswer) refuse(bad *tasks.FieldError) {
	problem := NewFieldProblem(bad)
	a.Status, a.Error = statusRefused, &problem
}

// tell answers with what is stored, or only that the key is taken.
func (a *ItemAnswer) tell(r tasks.Receipt, may bool) {
	if !may {
		a.Status, a.Key, a.Problem = string(tasks.Conflicting), r.Key, taken(string(r.Kind), r.Key)
		return
	}
	a.Status, a.ID, a.Key, a.Outcome, a.Fields = string(r.Status), r.ID.String(), r.Key, r.Outcome, r.Fields
}

// Tally counts what became of many requests.
type Tally struct {
	Accepted  int `json:"accepted"`
	Replayed  int `json:"replayed"`
	Conflicts int `json:"conflicts"`
	Refused   int `json:"refused"`
}

// Add counts answers.
func (t *Tally) Add(answers []ItemAnswer) {
	for i := range answers {
		switch answers[i].Status {
		case string(tasks.Accepted):
			t.Accepted++
		case string(tasks.Replayed):
			t.Replayed++
		case string(tasks.Conflicting):
			t.Conflicts++
		case statusRefused:
			t.Refused++
		}
	}
}

// Chunk is requests that were read and not accepted yet: an answer for each of them, final for those that were refused, and the
// payloads of the others.
type Chunk struct {
	Answers []ItemAnswer
	Read    int64 // bytes of the stream up to the chunk's end
	Err     error // the stream ended so after these requests; io.EOF when it was read to its end

	payloads []tasks.Payload
	places   []int // of the payloads' answers
}

// ReadChunks reads chunks and sends them, the last one with an error, until ctx ends. A stream that says nothing cannot be
// interrupted: ReadChunks then stays behind, and whoever waits for its chunks must also wait for ctx.
func ReadChunks(ctx context.Context, read func() Chunk, chunks chan<- Chunk) {
	for {
		chunk := read()
		select {
		case chunks <- chunk:
		case <-ctx.Done():
			return
		}
		if chunk.Err != nil {
			return
		}
	}
}

func (c *Chunk) takeLine(kind tasks.Kind, line jsonLine) error {
	if line.tooLong {
		answer := ItemAnswer{Line: line.number}
		answer.refuse(&tasks.FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes", line.bytes),
			Allowed: fmt.Sprintf("up to %d bytes", tasks.PayloadBytesMax)})
		c.Answers = append(c.Answers, answer)
		return nil
	}
	if err := c.take(kind, ItemAnswer{Line: line.number}, line.text); err != nil {
		return fmt.Errorf("read line %d: %w", line.number, err)
	}
	return nil
}

// take reads one request. What is refused for a field has its answer with that.
func (c *Chunk) take(kind tasks.Kind, answer ItemAnswer, text []byte) error {
	payload, err := tasks.ParsePayload(kind, text)
	var bad *tasks.FieldError
	switch {
	case errors.As(err, &bad):
		answer.refuse(bad)
	case err != nil:
		return err
	default:
		c.payloads, c.places = append(c.payloads, payload), append(c.places, len(c.Answers))
	}
	c.Answers = append(c.Answers, answer)
	return nil
}

// refuse gives the requests that are refused their answers; refusals are in the order of the payloads, or nil when none is.
func (c *Chunk) refuse(refusals []*tasks.FieldError) {
	payloads, places := c.payloads[:0], c.places[:0]
	for n, bad := range refusals {
		if bad != nil {
			c.Answers[c.places[n]].refuse(bad)
			continue
		}
		payloads, places = append(payloads, c.payloads[n]), append(places, c.places[n])
	}
	if refusals != nil {
		c.payloads, c.places = payloads, places
	}
}

// Accept has the chunk's requests accepted and completes its answers; mayTell says of which producers' stored requests may be told. An
// error leaves it unknown which were accepted.
func (c *Chunk) Accept(ctx context.Context, client *tasks.Client, mayTell func(producer string) bool) error {
	items, err := client.EnqueueMany(ctx, c.payloads)
	if err != nil {
		return err
	}
	for n, item := range items {
		var bad *tasks.FieldError
		switch answer := &c.Answers[c.places[n]]; {
		case errors.As(item.Err, &bad):
			answer.refuse(bad)
		case item.Err != nil:
			return item.Err
		default:
			answer.tell(item.Receipt, mayTell(item.Receipt.Producer))
		}
	}
	return nil
}

// Ended says whether the stream was read to its end.
func (c *Chunk) Ended() bool { return errors.Is(c.Err, io.EOF) }
