package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/settled-dev/settled/internal/clock"
)

// The limits of a stream.
const (
	// streamBytesMax bounds a stream's body: some five million requests.
	streamBytesMax = 1 << 30
	// streamIdleMax is how long a client may take for its next line, and for reading the answers to a chunk.
	streamIdleMax = time.Minute
	// streamPauseMax is how long a chunk waits for its key's rate. A key that lets 500 requests through in no less is not meant for streams.
	streamPauseMax = 10 * time.Second
)

// errDraining says that this process ends: it begins no more chunks.
var errDraining = errors.New("this process ends")

// errLeft says that a client has left before it was answered, or does not read.
var errLeft = errors.New("the client does not read its answers")

// acceptStream accepts lines and answers them as their chunks commit. It holds two chunks: one that is read while the other
// commits. What the client does not read is not written, and then nothing more is read either.
func (b *bulk) acceptStream() {
	r, w := humago.Unwrap(b.call)
	if problem := b.refuseUnready(r.Context()); problem != nil {
		writeProblem(b.call, problem)
		return
	}
	_ = b.connection.EnableFullDuplex() // only HTTP/1 needs it
	b.api.metrics.streams.Inc()
	defer b.api.metrics.streams.Dec()
	b.call.SetHeader("Content-Type", mediaJSONLines)
	b.call.SetStatus(http.StatusOK)
	_ = b.connection.Flush() // the client may wait for it before it sends anything

	// A client that leaves is noticed by its lines' end: those that were read whole are accepted.
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	chunks, reading := b.readStream(ctx, r.Body)
	answers := &streamAnswers{to: w, connection: b.connection}
	allRead, err := b.answerChunks(ctx, chunks, answers)
	if err != nil {
		const unknown = "whether this line and those after it were accepted is unknown: send them again, with the same keys"
		_ = answers.write([]ItemAnswer{{Line: answers.last + 1, Status: statusStopped, Problem: b.problem(err, unknown)}})
	}
	stop()
	if !allRead {
		_ = b.connection.SetReadDeadline(clock.System.Now()) // who waits for a line waits no longer
	}
	reading.Wait()
}

// refuseUnready answers for PostgreSQL when it is away: once a stream has begun, its status has been told.
func (b *bulk) refuseUnready(ctx context.Context) *Problem {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := b.client.Ready(ctx); err != nil {
		return b.problem(err, "nothing was done: ask again")
	}
	return nil
}

// readStream reads chunks until ctx ends, and gives each a deadline of its own.
func (b *bulk) readStream(ctx context.Context, body io.Reader) (<-chan Chunk, *sync.WaitGroup) {
	lines := NewLines(limitBody(body, streamBytesMax))
	chunks := make(chan Chunk)
	var reading sync.WaitGroup
	reading.Go(func() {
		ReadChunks(ctx, func() Chunk {
			_ = b.connection.SetReadDeadline(clock.System.Now().Add(streamIdleMax))
			if ctx.Err() != nil { // it has ended just now, and with it all waiting for lines
				_ = b.connection.SetReadDeadline(clock.System.Now())
			}
			return lines.ReadChunk(b.kind)
		}, chunks)
	})
	return chunks, &reading
}

// answerChunks accepts and answers chunks until the last, or an error. allRead says that nothing more is read.
func (b *bulk) answerChunks(ctx context.Context, chunks <-chan Chunk, answers *streamAnswers) (allRead bool, err error) {
	for begun := false; ; begun = true {
		chunk, err := b.nextChunk(chunks)
		if err == nil {
			err = b.acceptLines(ctx, &chunk, begun)
		}
		if err == nil {
			err = answers.write(chunk.Answers)
		}
		if err == nil && !chunk.Ended() {
			err = chunk.Err
		}
		if err != nil || chunk.Err != nil {
			return chunk.Err != nil, err
		}
	}
}

// nextChunk waits for a chunk, unless the process ends.
func (b *bulk) nextChunk(chunks <-chan Chunk) (Chunk, error) {
	select {
	case <-b.api.draining:
		return Chunk{}, errDraining
	default:
	}
	select {
	case <-b.api.draining:
		return Chunk{}, errDraining
	case chunk := <-chunks:
		return chunk, nil
	}
}

// acceptLines accepts a chunk once the key's rate lets it through; the call's first request was counted when it was let in.
func (b *bulk) acceptLines(ctx context.Context, chunk *Chunk, begun bool) error {
	if len(chunk.Answers) == 0 {
		return nil
	}
	items := len(chunk.Answers)
	if !begun {
		items--
	}
	for {
		wait := b.who.TryCharge(items)
		if wait == 0 {
			break
		}
		if wait > streamPauseMax {
			return b.who.Charge(items) // which refuses
		}
		select {
		case <-b.api.config.Clock.After(wait):
		case <-b.api.draining:
			return errDraining
		}
	}
	return b.accept(ctx, chunk)
}

// streamAnswers writes answers to a stream, a chunk at a time.
type streamAnswers struct {
	to         http.ResponseWriter
	connection *http.ResponseController
	text       bytes.Buffer
	last       int // line that was answered
}

func (s *streamAnswers) write(answers []ItemAnswer) error {
	if len(answers) == 0 {
		return nil
	}
	s.text.Reset()
	encoder := json.NewEncoder(&s.text)
	encoder.SetEscapeHTML(false)
	for i := range answers {
		if err := encoder.Encode(&answers[i]); err != nil {
			return err
		}
	}
	_ = s.connection.SetWriteDeadline(clock.System.Now().Add(streamIdleMax))
	if _, err := s.to.Write(s.text.Bytes()); err != nil {
		return fmt.Errorf("%w: %v", errLeft, err) // a failure of this connection is none of PostgreSQL's
	}
	s.last = answers[len(answers)-1].Line
	if err := s.connection.Flush(); err != nil {
		return fmt.Errorf("%w: %v", errLeft, err)
	}
	return nil
}
