package channel

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// The errors of the simulated channel.
var (
	// ErrNoReply is returned by Refund when the answer is lost. The channel has taken the order.
	ErrNoReply = errors.New("channel did not reply")
	// ErrNumberTaken is returned by Refund, beside ErrRefused, when a number was used for another payment or amount: a fault of the caller.
	ErrNumberTaken = errors.New("refund number was used for another refund")
)

// SimulatorConfig says how the simulated channel behaves.
type SimulatorConfig struct {
	// FailedPerMille of the numbers end as failed, the others as succeeded. Defaults to 0.
	FailedPerMille int
	// UnknownPerMille of the numbers are not answered by Refund: half of these replies are lost (ErrNoReply), half say processing.
	// Query then tells how they ended. Defaults to 0.
	UnknownPerMille int
	// RememberMax bounds the memory: the simulator knows at least so many of the last numbers that it was asked for, and at most
	// twice as many. A number that it has forgotten is one that it has never seen. Defaults to 10,000.
	RememberMax int
}

// Simulator is a channel that pays refunds at once and nowhere. How a number ends, and whether its first answer is lost, is read from
// the number itself, so the simulators of all processes answer alike; which numbers were asked for, each knows of its own calls.
// Its methods may be called at the same time.
type Simulator struct {
	config SimulatorConfig

	mu            sync.Mutex
	recent, older map[string]*simulated // older is dropped when recent is full
}

// simulated is what the simulator knows of a number.
type simulated struct {
	orderID string
	amount  money.Amount
	calls   Calls
}

// Calls counts what a simulator was asked about one number.
type Calls struct{ Refunds, Queries int }

// NewSimulator makes a simulated channel.
func NewSimulator(config SimulatorConfig) *Simulator {
	if config.RememberMax <= 0 {
		config.RememberMax = 10_000
	}
	return &Simulator{config: config, recent: map[string]*simulated{}}
}

// Refund implements Refunder. It returns ErrNoReply and ErrNumberTaken, or the context's error before anything was taken.
func (s *Simulator) Refund(ctx context.Context, order tasks.RefundOrder) (RefundAnswer, error) {
	if err := ctx.Err(); err != nil {
		return RefundAnswer{}, err
	}
	if err := s.take(order); err != nil {
		return RefundAnswer{}, err
	}
	fate := fateOf(order.Number)
	switch {
	case !fate.unknown(s.config):
		return fate.answer(s.config), nil
	case fate.coin:
		return RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, ErrNoReply)
	default:
		return RefundAnswer{State: RefundProcessing}, nil
	}
}

// Query implements Refunder. It returns ErrUnknownNumber for numbers that this simulator was not asked for.
func (s *Simulator) Query(ctx context.Context, order tasks.RefundOrder) (RefundAnswer, error) {
	if err := ctx.Err(); err != nil {
		return RefundAnswer{}, err
	}
	s.mu.Lock()
	known := s.find(order.Number)
	if known != nil {
		known.calls.Queries++
	}
	s.mu.Unlock()
	if known == nil {
		return RefundAnswer{}, fmt.Errorf("query %s: %w", order.Number, ErrUnknownNumber)
	}
	return fateOf(order.Number).answer(s.config), nil
}

// Calls tells how often the simulator was asked about a number that it remembers.
func (s *Simulator) Calls(number string) Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.find(number); known != nil {
		return known.calls
	}
	return Calls{}
}

// take notes the order, and refuses a number that belongs to another one.
func (s *Simulator) take(order tasks.RefundOrder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.find(order.Number)
	if known == nil {
		if len(s.recent) >= s.config.RememberMax {
			s.recent, s.older = make(map[string]*simulated, s.config.RememberMax), s.recent
		}
		known = &simulated{orderID: order.OrderID, amount: order.Amount}
		s.recent[order.Number] = known
	}
	if known.orderID != order.OrderID || known.amount != order.Amount {
		return fmt.Errorf("refund %s: %w: %w", order.Number, ErrRefused, ErrNumberTaken)
	}
	known.calls.Refunds++
	return nil
}

func (s *Simulator) find(number string) *simulated {
	if known, ok := s.recent[number]; ok {
		return known
	}
	return s.older[number]
}

// fate is what a number's hash says of it.
type fate struct {
	end, first uint16 // 0 to 999
	coin       bool
}

func fateOf(number string) fate {
	sum := sha256.Sum256([]byte(number))
	return fate{end: perMille(sum[0:8]), first: perMille(sum[8:16]), coin: sum[16]&1 == 0}
}

func perMille(hash []byte) uint16 { return uint16(binary.BigEndian.Uint64(hash) % 1000) }

func (f fate) unknown(config SimulatorConfig) bool { return int(f.first) < config.UnknownPerMille }

func (f fate) answer(config SimulatorConfig) RefundAnswer {
	if int(f.end) < config.FailedPerMille {
		return RefundAnswer{State: RefundFailed, Reason: "simulated: the payer's account is closed"}
	}
	return RefundAnswer{State: RefundSucceeded}
}
