package tasks

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// BookOf is the book in which a user lives: the first eight bytes of the id's SHA-256, modulo the number of books. It never
// changes: the number of books is fixed when the ledger is created. books must be positive.
func BookOf(userID string, books int) int {
	sum := sha256.Sum256([]byte(userID))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(books))
}

// Kind implements Payload.
func (*Payment) Kind() Kind         { return PaymentCapture }
func (*Refund) Kind() Kind          { return RefundApply }
func (*Recharge) Kind() Kind        { return RechargeConfirm }
func (*Suspension) Kind() Kind      { return RechargeSuspend }
func (*Reward) Kind() Kind          { return RewardGrant }
func (*Transfer) Kind() Kind        { return TransferSend }
func (*TransferArrival) Kind() Kind { return TransferReceive }
func (*Enrolment) Kind() Kind       { return WealthEnrol }
func (*Sweep) Kind() Kind           { return SweepRun }
func (*SweepPart) Kind() Kind       { return SweepChunk }
func (*RefundOrder) Kind() Kind     { return RefundSend }
func (*RefundResult) Kind() Kind    { return RefundAnswer }
func (*RefundRevision) Kind() Kind  { return RefundRevise }

func (p *Payment) identity() identity {
	return identity{key: p.OrderID, userID: p.UserID, occurredAt: p.OccurredAt}
}

func (p *Refund) identity() identity {
	return identity{key: p.RefundID, userID: p.UserID, occurredAt: p.OccurredAt}
}

func (p *Recharge) identity() identity {
	return identity{key: p.RechargeID, userID: p.UserID, occurredAt: p.OccurredAt}
}

// A channel's payment is suspended once, whatever the cause. It is booked beside the order's user, where the payment would have been
// booked; without a user, beside its number.
func (p *Suspension) identity() identity {
	return identity{key: string(p.Channel) + "/" + p.ChannelTxnID, userID: cmp.Or(p.UserID, p.OutTradeNo), occurredAt: p.OccurredAt}
}

func (p *Reward) identity() identity {
	return identity{key: p.RewardID, userID: p.UserID, occurredAt: p.OccurredAt}
}

func (p *Transfer) identity() identity {
	return identity{key: p.TransferID, userID: p.FromUserID, occurredAt: p.OccurredAt}
}

// No transfer's id has a slash: what arrives of a case has a key that no producer can take.
func (p *TransferArrival) identity() identity {
	key := p.TransferID
	if p.CaseID != "" {
		key = "case/" + p.CaseID
	}
	return identity{key: key, userID: p.ToUserID, occurredAt: p.OccurredAt}
}

func (p *Enrolment) identity() identity {
	return identity{key: p.EnrolmentID, userID: p.UserID, occurredAt: p.OccurredAt}
}

// A sweep starts in book 0 and asks every book for its own parts.
func (p *Sweep) identity() identity {
	return identity{key: p.ProductID + "/" + p.BusinessDate, businessDate: p.BusinessDate}
}

func (p *SweepPart) identity() identity {
	return identity{
		key:  fmt.Sprintf("%s/%s/%d/%s", p.ProductID, p.BusinessDate, p.Book, p.AfterUserID),
		book: p.Book, businessDate: p.BusinessDate,
	}
}

func (p *RefundOrder) identity() identity {
	return numberIdentity(p.Number, p.UserID, p.CaseID, p.OccurredAt)
}

func (p *RefundResult) identity() identity {
	return numberIdentity(p.Number, p.UserID, p.CaseID, p.OccurredAt)
}

// numberIdentity books what is under a refund number with the refund's user, or with the case whose money is paid back.
func numberIdentity(number, userID, caseID string, occurredAt time.Time) identity {
	who := identity{userID: userID}
	if caseID != "" {
		who = caseIdentity(caseID)
	}
	who.key, who.occurredAt = number, occurredAt
	return who
}

func (p *RefundRevision) identity() identity { return (*RefundResult)(p).identity() }

func (p *Payment) normalize()         { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Refund) normalize()          { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Recharge) normalize()        { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Suspension) normalize()      { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Reward) normalize()          { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Transfer) normalize()        { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *TransferArrival) normalize() { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Enrolment) normalize()       { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *Sweep) normalize()           {}
func (p *SweepPart) normalize()       {}
func (p *RefundOrder) normalize()     { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *RefundResult) normalize()    { p.OccurredAt = canonicalTime(p.OccurredAt) }
func (p *RefundRevision) normalize()  { (*RefundResult)(p).normalize() }

// canonicalTime keeps what PostgreSQL keeps, in one zone, so that one instant has one text.
func canonicalTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
