package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// line is one line of the journal: one of its fields is set.
type line struct {
	Order        *orderLine        `json:"order,omitempty"`
	Closed       *closedLine       `json:"closed,omitempty"`
	Payment      *paymentLine      `json:"payment,omitempty"`
	Refund       *refundLine       `json:"refund,omitempty"`
	Revised      *revisedLine      `json:"revised,omitempty"`
	Acknowledged *acknowledgedLine `json:"acknowledged,omitempty"`
}

type orderLine struct {
	Channel    tasks.Source `json:"channel"`
	OutTradeNo string       `json:"out_trade_no"`
	Amount     money.Amount `json:"amount"`
	OrderedAt  time.Time    `json:"ordered_at,omitzero"`
}

// closedLine closes an order.
type closedLine struct {
	Channel    tasks.Source `json:"channel"`
	OutTradeNo string       `json:"out_trade_no"`
}

type paymentLine struct {
	Channel      tasks.Source `json:"channel"`
	OutTradeNo   string       `json:"out_trade_no"`
	ChannelTxnID string       `json:"channel_txn_id"`
	Asked        money.Amount `json:"asked"`
	Amount       money.Amount `json:"amount"`
	NotifyURL    string       `json:"notify_url,omitempty"`
	OrderedAt    time.Time    `json:"ordered_at,omitzero"`
	Lost         bool         `json:"lost,omitempty"`
	PaidAt       time.Time    `json:"paid_at"`
}

type refundLine struct {
	Channel         tasks.Source        `json:"channel"`
	Number          string              `json:"number"`
	ChannelRefundID string              `json:"channel_refund_id"`
	ChannelTxnID    string              `json:"channel_txn_id"`
	Amount          money.Amount        `json:"amount"`
	AcceptedAt      time.Time           `json:"accepted_at"`
	EndsAt          time.Time           `json:"ends_at"`
	End             channel.RefundState `json:"end"`
	Reason          string              `json:"reason,omitempty"`
	RevisedAt       time.Time           `json:"revised_at,omitzero"` // of a failure that is paid after all
}

// revisedLine says that a refund which failed was paid after all, because somebody asked for it.
type revisedLine struct {
	Channel      tasks.Source `json:"channel"`
	RefundNumber string       `json:"refund_number"`
	At           time.Time    `json:"at"`
}

// acknowledgedLine ends the deliveries of a payment's notice, of a refund's, or of the one that revises it.
type acknowledgedLine struct {
	Channel      tasks.Source `json:"channel"`
	ChannelTxnID string       `json:"channel_txn_id,omitempty"`
	RefundNumber string       `json:"refund_number,omitempty"`
	Revised      bool         `json:"revised,omitempty"`
}

// journal appends lines to a file and syncs those that somebody waits for, together. Its methods may be called at the same time.
type journal struct {
	file *os.File

	mu   sync.Mutex // guards next
	next *group

	turn   sync.Mutex    // held while a group is written; taken before mu
	broken error         // what the disk said; guarded by turn. Nothing is written after it: the file may end in half a line
	failed chan struct{} // closed when it is broken
}

// group is lines that are written together.
type group struct {
	text    []byte
	written bool // guarded by the journal's turn
}

// openJournal opens a file, locks it, and hands each of its lines to replay. A last line without an end was never answered for: it
// is cut off.
func openJournal(name string, replay func(line) error) (_ *journal, err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock journal %s, which another simulator may use: %w", name, err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	for number := 1; len(text) > 0; number++ {
		var one []byte
		var ended bool
		if one, text, ended = bytes.Cut(text, []byte{'\n'}); !ended {
			break
		}
		var l line
		if err := json.Unmarshal(one, &l); err != nil {
			return nil, fmt.Errorf("read journal %s, line %d: %w", name, number, err)
		}
		if err := replay(l); err != nil {
			return nil, fmt.Errorf("replay journal %s, line %d: %w", name, number, err)
		}
	}
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, fmt.Errorf("cut journal's last line: %w", err)
	}
	if _, err := file.Seek(int64(len(whole)), io.SeekStart); err != nil {
		return nil, fmt.Errorf("go to the journal's end: %w", err)
	}
	return &journal{file: file, next: &group{}, failed: make(chan struct{})}, nil
}

// add puts a line behind all that were added before, and returns what to wait for.
func (j *journal) add(l line) *group {
	text, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("a line of the journal cannot be encoded: %v", err)) // its types have no value that cannot
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next.text = append(append(j.next.text, text...), '\n')
	return j.next
}

// wait returns once the group is on the disk. The first who waits writes for all.
func (j *journal) wait(g *group) error {
	j.turn.Lock()
	defer j.turn.Unlock()
	if g.written || j.broken != nil {
		return j.broken
	}
	j.mu.Lock()
	j.next = &group{} // g was the next one: whoever replaces it writes it, in the same turn
	j.mu.Unlock()
	_, err := j.file.Write(g.text)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("write journal: %w", err)
		close(j.failed)
		return j.broken
	}
	g.written, g.text = true, nil
	return nil
}

// problem is what the disk said when it refused.
func (j *journal) problem() error {
	j.turn.Lock()
	defer j.turn.Unlock()
	return j.broken
}

// close writes what nobody has waited for, and unlocks the file.
func (j *journal) close() error {
	j.mu.Lock()
	last := j.next
	j.mu.Unlock()
	return errors.Join(j.wait(last), j.file.Close())
}
