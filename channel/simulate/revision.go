package simulate

import (
	"fmt"
	"net/http"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// Revision names a refund that is to be paid after it has failed.
type Revision struct {
	Channel      tasks.Source `json:"channel"`
	RefundNumber string       `json:"refund_number"`
}

// Revise pays a refund that has failed, as a channel does whose merchant has sent it elsewhere, and returns its entry once that is on
// the disk; the merchant is told. Asked again, it returns the entry. It returns ErrNotFailed or ErrTooMuch, wrapped, when other refunds
// have taken the money since, a *tasks.FieldError, or the disk's error.
func (s *Simulator) Revise(source tasks.Source, refundNumber string) (Entry, error) {
	d, err := s.deskOf(source)
	if err != nil {
		return Entry{}, err
	}
	return d.revise(refundNumber)
}

// keepRevision makes a refund one that is paid at a time, after it has failed. The caller holds mu, or is alone.
func (d *desk) keepRevision(r *refund, at time.Time) {
	r.line.RevisedAt = at
	r.revision = &notice{desk: d, refund: r, revises: true, due: at, state: NoticeWaiting}
}

// revise pays a refund that has failed, or finds it paid after that. It returns once that is on the disk.
func (d *desk) revise(number string) (Entry, error) {
	d.mu.Lock()
	r := d.byNumber[number]
	if r == nil {
		d.mu.Unlock()
		return Entry{}, &tasks.FieldError{Field: "refund_number", Problem: "is of no refund", Allowed: "the merchant's number of one that failed"}
	}
	known := r.revision != nil
	if !known {
		now := d.clock.Now().UTC().Round(0)
		if err := r.revisable(now); err != nil {
			d.mu.Unlock()
			return Entry{}, fmt.Errorf("revise refund %s: %w", number, err)
		}
		d.keepRevision(r, now)
		r.written = d.journal.add(line{Revised: &revisedLine{Channel: d.source, RefundNumber: number, At: now}})
	}
	e, news, written := d.entry(r), r.revision, r.written
	d.mu.Unlock()
	if err := d.settle(written); err != nil {
		return Entry{}, err
	}
	if !known {
		d.notify(news)
	}
	return e, nil
}

// revisable says why a refund cannot be paid after all. The desk's mu is held.
func (r *refund) revisable(now time.Time) error {
	if r.holds(now) {
		return ErrNotFailed
	}
	if r.line.Amount.Cmp(r.payment.left(now)) > 0 {
		return ErrTooMuch
	}
	return nil
}

func (s *Simulator) serveRevise(w http.ResponseWriter, r *http.Request) {
	var asked Revision
	err := read(w, r, &asked)
	var entry Entry
	if err == nil {
		entry, err = s.Revise(asked.Channel, asked.RefundNumber)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, entry)
}
