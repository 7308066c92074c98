package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/tasks"
)

// Message is the body of a delivery. Its shape is Standard Webhooks': type, timestamp and data; fields are only added.
type Message struct {
	Type      Event     `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when the outcome was decided
	Sequence  int64     `json:"sequence"`  // within the endpoint, from 1, without gaps
	Data      Data      `json:"data"`
}

// Data is a request and what became of it.
type Data struct {
	ID      uuid.UUID       `json:"id"`
	Kind    tasks.Kind      `json:"kind"`
	Key     string          `json:"key"`
	Payload json.RawMessage `json:"payload"`
	Outcome tasks.Outcome   `json:"outcome"`
}

// due is a message that this process has claimed.
type due struct {
	endpointID  string
	sequence    int64
	attempts    int       // this one included
	leasedUntil time.Time // tells this claim from others
	dueAt       time.Time // when it was to be tried
	message     Message
}

// id is the same at each attempt: a producer tells a repetition by it.
func (d *due) id() string { return fmt.Sprintf("msg_%s_%d", d.endpointID, d.sequence) }
