package tasks

import "time"

// Queue names an asynq queue.
type Queue string

// The queues, most urgent first. Each is served by servers of its own, so that none waits behind another's backlog.
const (
	// Critical: a person waits at a till or looks at a balance.
	Critical Queue = "critical"
	// Refunds: refunds and the channels' answers to them.
	Refunds Queue = "refunds"
	// Sweeps: the nightly sweep; large, never urgent.
	Sweeps Queue = "sweeps"
	// Low: rewards, enrolments and calls to slow channels.
	Low Queue = "low"
)

// Queues lists the queues, most urgent first.
func Queues() []Queue { return []Queue{Critical, Refunds, Sweeps, Low} }

// The options of every ring, passed explicitly because asynq's defaults (25 retries, 30 minutes, default queue) are not chosen for
// money.
const (
	// RingRetriesMax is how often asynq redelivers a ring. Exhausting it loses nothing: the relay rings again for what is pending.
	RingRetriesMax = 25
	// RingTimeout bounds one delivery: above any batch of a healthy PostgreSQL, which takes seconds at most. A batch that is tried again
	// and again may outlast it, and so may a ring that the relay repeats: both end where outcomes are stored.
	RingTimeout = 2 * time.Minute
	// RingIDsMax is the largest number of requests that one ring names: large enough that asynq's cost per request vanishes,
	// small enough that a ring (20 kB) is cheap to redeliver.
	RingIDsMax = 500
)
