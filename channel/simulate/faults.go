package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/settled-dev/settled/tasks"
)

// Faults are how often a simulator misbehaves, each per mille. The zero value never does, but that all refunds end at once.
type Faults struct {
	// Duplicates of the deliveries go out twice at the same time.
	Duplicates int `json:"duplicates"`
	// Repeats of the notices come again although they were acknowledged, after the channel's first pause.
	Repeats int `json:"repeats"`
	// Reorders of the notices wait until a later one of their channel was delivered, or for reorderedFor.
	Reorders int `json:"reorders"`
	// Delays of the notices are first sent up to delayedFor late.
	Delays int `json:"delays"`
	// Lost of the payments are told to nobody: all of their notices are lost on the way.
	Lost int `json:"lost"`
	// WrongAmounts of the payments are of a fen more or less than was asked.
	WrongAmounts int `json:"wrong_amounts"`
	// LostAnswers of the refunds are taken, and the connection breaks before an answer.
	LostAnswers int `json:"lost_answers"`
	// HangingAnswers of the refunds are taken, and nothing is answered until the merchant gives up, or for hangingFor.
	HangingAnswers int `json:"hanging_answers"`
	// FailedRefunds of the refunds end as failed.
	FailedRefunds int `json:"failed_refunds"`
	// ClosedRefunds of the refunds end as failed because the merchant's money stayed short: WeChat Pay says CLOSED of these, and ABNORMAL of the
	// others that fail.
	ClosedRefunds int `json:"closed_refunds"`
	// RevisedRefunds of the refunds end as failed, and are paid after all: later by as much as a slow one takes.
	RevisedRefunds int `json:"revised_refunds"`
	// SlowRefunds of the refunds are processing when they are answered, and end later.
	SlowRefunds int `json:"slow_refunds"`
	// Probes of the deliveries are preceded by one whose signature is wrong on purpose, where the channel does that.
	Probes int `json:"probes"`
}

// Check returns a *tasks.FieldError when a rate is not 0 to 1000.
func (f Faults) Check() error {
	for _, rate := range []struct {
		name     string
		perMille int
	}{
		{"duplicates", f.Duplicates}, {"repeats", f.Repeats}, {"reorders", f.Reorders}, {"delays", f.Delays},
		{"lost", f.Lost}, {"wrong_amounts", f.WrongAmounts}, {"lost_answers", f.LostAnswers}, {"hanging_answers", f.HangingAnswers},
		{"failed_refunds", f.FailedRefunds}, {"closed_refunds", f.ClosedRefunds},
		{"revised_refunds", f.RevisedRefunds}, {"slow_refunds", f.SlowRefunds}, {"probes", f.Probes},
	} {
		if rate.perMille < 0 || rate.perMille > 1000 {
			return &tasks.FieldError{Field: rate.name, Problem: fmt.Sprintf("is %d", rate.perMille), Allowed: "0 to 1000, per mille"}
		}
	}
	return nil
}

// dice decide by the hash of a seed, what is decided, and about which number.
type dice struct{ seed uint64 }

// roll is evenly spread over 0 to n-1.
func (d dice) roll(n uint64, what string, number string) uint64 {
	hash := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", d.seed, what, number))
	return binary.BigEndian.Uint64(hash[:8]) % n
}

// hits says whether a fault of that rate happens to the number.
func (d dice) hits(perMille int, what, number string) bool {
	return int(d.roll(1000, what, number)) < perMille
}
