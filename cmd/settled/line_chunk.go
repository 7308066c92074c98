package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/tasks"
)

// A chunk of lines is accepted with one insert: as many as a ring names, and not so many bytes that they matter.
const (
	chunkLinesMax = tasks.RingIDsMax
	chunkBytesMax = 4 << 20
)

// lineAnswer is what a line gets.
type lineAnswer struct {
	Line    int                  `json:"line"`
	Status  string               `json:"status"`
	ID      string               `json:"id,omitempty"`
	Key     string               `json:"key,omitempty"`
	Outcome *tasks.Outcome       `json:"outcome,omitempty"`
	Fields  []tasks.Diff         `json:"fields,omitempty"`
	Error   *intake.FieldProblem `json:"error,omitempty"`
}

func (l *lineAnswer) refuse(bad *tasks.FieldError) {
	problem := intake.NewFieldProblem(bad)
	l.Status, l.Error = "refused", &problem
}

// lineChunk is lines that were read and not accepted yet: an answer for each of them, final for those that were refused, and the
// payloads of the others.
type lineChunk struct {
	answers  []lineAnswer
	payloads []tasks.Payload
	places   []int // of the payloads' answers
	read     int64 // bytes of the stream up to the chunk's end
	err      error // the stream ended so after these lines; io.EOF when it was read to its end
}

// readChunks reads a stream's requests into chunks and sends them, the last one with an error, until ctx ends. A stream that says
// nothing cannot be interrupted: readChunks then stays behind, and whoever waits for its chunks must also wait for ctx.
func readChunks(ctx context.Context, kind tasks.Kind, lines *jsonLines, chunks chan<- lineChunk) {
	for {
		chunk := readChunk(kind, lines)
		select {
		case chunks <- chunk:
		case <-ctx.Done():
			return
		}
		if chunk.err != nil {
			return
		}
	}
}

// readChunk reads until the chunk is full, or the next line may have to be waited for.
func readChunk(kind tasks.Kind, lines *jsonLines) (chunk lineChunk) {
	for bytes := int64(0); len(chunk.answers) < chunkLinesMax && bytes < chunkBytesMax; {
		line, err := lines.next()
		if err == nil {
			bytes += int64(len(line.text))
			err = chunk.take(kind, line)
		}
		chunk.read, chunk.err = lines.read, err
		if err != nil || lines.waiting() {
			return chunk
		}
	}
	return chunk
}

// take reads one line's request.
func (c *lineChunk) take(kind tasks.Kind, line jsonLine) error {
	answer := lineAnswer{Line: line.number}
	var payload tasks.Payload
	var err error = &tasks.FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes", line.bytes),
		Allowed: fmt.Sprintf("up to %d bytes", tasks.PayloadBytesMax)}
	if !line.tooLong {
		payload, err = tasks.ParsePayload(kind, line.text)
	}
	var bad *tasks.FieldError
	switch {
	case errors.As(err, &bad):
		answer.refuse(bad)
	case err != nil:
		return fmt.Errorf("read line %d: %w", line.number, err)
	default:
		c.payloads, c.places = append(c.payloads, payload), append(c.places, len(c.answers))
	}
	c.answers = append(c.answers, answer)
	return nil
}

// accept has the chunk's requests accepted and completes its answers. An error leaves it unknown which were.
func (c *lineChunk) accept(ctx context.Context, client *tasks.Client) error {
	items, err := client.EnqueueMany(ctx, c.payloads)
	if err != nil {
		return err
	}
	for n, item := range items {
		var bad *tasks.FieldError
		switch answer := &c.answers[c.places[n]]; {
		case errors.As(item.Err, &bad):
			answer.refuse(bad)
		case item.Err != nil:
			return item.Err
		default:
			r := item.Receipt
			answer.Status, answer.ID, answer.Key, answer.Outcome, answer.Fields = string(r.Status), r.ID.String(), r.Key, r.Outcome, r.Fields
		}
	}
	return nil
}

// ended says whether the stream was read to its end.
func (c *lineChunk) ended() bool { return errors.Is(c.err, io.EOF) }
