package simulate

import (
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// EntryKind says what an entry of the record is of.
type EntryKind string

// The kinds.
const (
	EntryPayment EntryKind = "payment"
	EntryRefund  EntryKind = "refund"
)

// Entry is one payment or refund in the channels' own record: what the merchant's books are compared with.
type Entry struct {
	Kind            EntryKind           `json:"kind"`
	Channel         tasks.Source        `json:"channel"`
	OutTradeNo      string              `json:"out_trade_no"`
	ChannelTxnID    string              `json:"channel_txn_id"`
	RefundNumber    string              `json:"refund_number,omitempty"`
	ChannelRefundID string              `json:"channel_refund_id,omitempty"`
	Asked           money.Amount        `json:"asked,omitzero"` // of a payment; it may differ from what was paid
	Amount          money.Amount        `json:"amount"`
	State           channel.RefundState `json:"state,omitempty"` // of a refund, as it stands now
	Reason          string              `json:"reason,omitempty"`
	At              time.Time           `json:"at"` // paid, or accepted
	EndedAt         time.Time           `json:"ended_at,omitzero"`
	Notice          NoticeState         `json:"notice"` // of a refund's last end, also while that is to come
	// FailedAt is when a refund failed that was paid after that, at EndedAt. Reason is why.
	FailedAt time.Time `json:"failed_at,omitzero"`
	// FailureNotice is that of the failure of a refund that is paid after all, or will be.
	FailureNotice NoticeState `json:"failure_notice,omitempty"`
	// Deliveries counts those since the simulator was started.
	Deliveries int `json:"deliveries"`
	// ProbesAcknowledged counts messages with a wrong signature that the merchant took.
	ProbesAcknowledged int `json:"probes_acknowledged,omitempty"`
}

// Changed is closed when the next notice is acknowledged, given up, or found to be none. Take it before the record that is to change.
func (s *Simulator) Changed() <-chan struct{} {
	s.courier.mu.Lock()
	defer s.courier.mu.Unlock()
	return s.courier.changed
}

// Record is everything that was paid and refunded: channel by channel, each one's payments and then its refunds, from the first on.
func (s *Simulator) Record() []Entry {
	var entries []Entry
	for _, source := range tasks.Channels() {
		if d := s.desks[source]; d != nil {
			entries = d.record(entries)
		}
	}
	return entries
}

func (d *desk) record(entries []Entry) []Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.payments {
		entries = append(entries, p.notice.entry(Entry{Kind: EntryPayment, Channel: d.source, OutTradeNo: p.OutTradeNo,
			ChannelTxnID: p.ChannelTxnID, Asked: p.asked, Amount: p.Amount, At: p.PaidAt}))
	}
	for _, r := range d.refunds {
		entries = append(entries, d.entry(r))
	}
	return entries
}

// entry is a refund's. The caller holds mu.
func (d *desk) entry(r *refund) Entry {
	told := d.tell(r)
	e := r.notice.entry(Entry{Kind: EntryRefund, Channel: d.source, OutTradeNo: told.Payment.OutTradeNo,
		ChannelTxnID: told.Payment.ChannelTxnID, RefundNumber: told.Number, ChannelRefundID: told.ChannelRefundID, Amount: told.Amount,
		State: told.State, Reason: told.Reason, At: told.AcceptedAt, EndedAt: told.EndedAt})
	if r.revision == nil {
		return e
	}
	if told.State == channel.RefundSucceeded {
		e.Reason, e.FailedAt = r.line.Reason, wholeSecond(r.line.EndsAt)
	}
	e.FailureNotice = e.Notice
	return r.revision.entry(e)
}

// entry completes an entry with how the notice went.
func (n *notice) entry(e Entry) Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.Notice = n.state
	e.Deliveries += n.deliveries
	e.ProbesAcknowledged += n.probed
	return e
}
