package tasks

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
)

// ringVersion is the version of the ring's encoding that this code writes. A worker reads its own and the one before. scanRing knows it
// as text.
const ringVersion = 1

// Ring is what an asynq task says: requests of one book and kind are due. The kind is the task's type.
type Ring struct {
	Kind  Kind
	Book  int
	IDs   []uuid.UUID
	Again bool // rung by the relay: an earlier delivery may have ended its process
}

// ringWire is the JSON of a ring. It is read by workers of other versions: fields are only added.
type ringWire struct {
	Version int         `json:"v"`
	Book    int         `json:"book"`
	IDs     []uuid.UUID `json:"ids"`
	Again   bool        `json:"again,omitempty"`
}

// The ways in which a task is not a ring that this version can serve.
var (
	// ErrMalformedRing: no retry will make it readable.
	ErrMalformedRing = errors.New("task is not a ring")
	// ErrNewerRing: a newer producer wrote it; a newer worker will read it.
	ErrNewerRing = errors.New("ring has a newer version")
)

// Task encodes the ring with every option given explicitly.
func (r Ring) Task() (*asynq.Task, error) {
	if len(r.IDs) == 0 || len(r.IDs) > RingIDsMax {
		return nil, fmt.Errorf("ring names %d requests, allowed are 1 to %d", len(r.IDs), RingIDsMax)
	}
	payload, err := json.Marshal(ringWire{Version: ringVersion, Book: r.Book, IDs: r.IDs, Again: r.Again})
	if err != nil {
		return nil, fmt.Errorf("encode ring: %w", err)
	}
	return asynq.NewTask(string(r.Kind), payload, asynq.Queue(string(r.Kind.Queue())), asynq.MaxRetry(RingRetriesMax),
		asynq.Timeout(RingTimeout), asynq.Retention(0)), nil
}

// ParseRing reads a task's type and payload. It returns ErrMalformedRing or ErrNewerRing, wrapped.
func ParseRing(taskType string, payload []byte) (Ring, error) {
	kind := Kind(taskType)
	if !kind.Known() {
		return Ring{}, fmt.Errorf("%w: type %s is unknown", ErrMalformedRing, quote(taskType))
	}
	wire, scanned := scanRing(payload)
	if !scanned {
		wire = ringWire{}
		if err := json.Unmarshal(payload, &wire); err != nil {
			return Ring{}, fmt.Errorf("%w: %v", ErrMalformedRing, err)
		}
	}
	switch {
	case wire.Version > ringVersion:
		return Ring{}, fmt.Errorf("%w: %d, this worker reads %d", ErrNewerRing, wire.Version, ringVersion)
	case wire.Version < 1:
		return Ring{}, fmt.Errorf("%w: version %d", ErrMalformedRing, wire.Version)
	case len(wire.IDs) == 0 || len(wire.IDs) > RingIDsMax:
		return Ring{}, fmt.Errorf("%w: names %d requests, allowed are 1 to %d", ErrMalformedRing, len(wire.IDs), RingIDsMax)
	case wire.Book < 0 || wire.Book > 1023:
		return Ring{}, fmt.Errorf("%w: book is %d", ErrMalformedRing, wire.Book)
	}
	return Ring{Kind: kind, Book: wire.Book, IDs: wire.IDs, Again: wire.Again}, nil
}

// Bell is a request that is due: what a doorbell needs to know of it.
type Bell struct {
	Kind Kind
	Book int
	ID   uuid.UUID
}

// ringsOf groups bells by book and kind into rings of at most size requests, keeping their order within a group.
func ringsOf(bells []Bell, size int, again bool) []Ring {
	type group struct {
		kind Kind
		book int
	}
	open := map[group]int{}
	var rings []Ring
	for _, bell := range bells {
		g := group{bell.Kind, bell.Book}
		at, ok := open[g]
		if !ok || len(rings[at].IDs) >= size {
			at = len(rings)
			rings = append(rings, Ring{Kind: bell.Kind, Book: bell.Book, Again: again})
			open[g] = at
		}
		rings[at].IDs = append(rings[at].IDs, bell.ID)
	}
	return rings
}
