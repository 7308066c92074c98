package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// followUpProducer is the producer of requests that settled asks of itself.
const followUpProducer = "settled"

const readRequestsSQL = `
SELECT r.id, r.kind, r.key, r.payload, r.occurred_at, r.business_date::text, r.accepted_at
FROM (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
JOIN requests r ON r.book = asked.book AND r.id = asked.id`

// Fate is what became of a request in a call of Apply.
type Fate string

// The fates.
const (
	Decided   Fate = "decided"  // the answer has its outcome
	Parked    Fate = "parked"   // it waits for another request
	Dead      Fate = "dead"     // it waits for a person
	NotStored Fate = "unknown"  // no such request in this book
	Deferred  Fate = "deferred" // this version has no rule for its kind; another worker may
)

// Answer is one request's fate.
type Answer struct {
	Fate    Fate
	Outcome tasks.Outcome // of a decided one
	Replay  bool          // it was decided before this call
	Problem string        // of a dead one, when this call buried it
}

// batch applies some requests of one book in one transaction.
type batch struct {
	ledger  *Ledger
	book    int
	ids     []uuid.UUID              // each once
	kinds   map[uuid.UUID]tasks.Kind // the only one that is applied of an id; empty for any
	answers map[uuid.UUID]Answer
	loaded  map[uuid.UUID]*decided
	bells   []tasks.Bell // what is due once the batch has committed
	settled []*decided
	at      time.Time
}

func newBatch(l *Ledger, book int, ids []uuid.UUID, kinds map[uuid.UUID]tasks.Kind) *batch {
	return &batch{ledger: l, book: book, ids: ids, kinds: kinds, answers: make(map[uuid.UUID]Answer, len(ids)),
		loaded: make(map[uuid.UUID]*decided, len(ids))}
}

// errPolicyChanged says that the rows were read under an older policy: the batch reads them again.
var errPolicyChanged = errors.New("policy changed")

// run applies the batch. When it returns an error nothing of the batch is known to have happened: run a new one, which finds out.
func (b *batch) run(ctx context.Context, conn *pgx.Conn) error {
	if err := b.load(ctx, conn); err != nil {
		return err
	}
	if len(b.loaded) == 0 {
		return nil
	}
	policy := b.ledger.policy.Load()
	reads := b.reads()
	state := newState(b.book, b.ledger.books, policy.policy, reads)
	now, err := b.open(ctx, conn, state, reads)
	if err == nil {
		err = b.settle(ctx, conn, state, now, policy.version)
	}
	if err != nil && !conn.IsClosed() {
		err = errors.Join(err, b.rollBack(ctx, conn))
	}
	return err
}

// rollBack ends the transaction: the connection goes back to the pool, its transaction must not. A server that does not answer is waited
// for as long as for a batch, and no longer: the lane stands still meanwhile.
func (b *batch) rollBack(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.ledger.config.BatchTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// load reads the requests, which never change, before the book is locked.
func (b *batch) load(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, readRequestsSQL, b.book, pguuid.Array(b.ids))
	if err != nil {
		return fmt.Errorf("read %d requests: %w", len(b.ids), err)
	}
	for rows.Next() {
		request := &Request{Book: b.book}
		var payload []byte
		if err := rows.Scan(pguuid.Into(&request.ID), &request.Kind, &request.Key, &payload, &request.OccurredAt, &request.BusinessDate,
			&request.AcceptedAt); err != nil {
			rows.Close()
			return fmt.Errorf("read %d requests: %w", len(b.ids), err)
		}
		if kind := b.kinds[request.ID]; kind != "" && kind != request.Kind {
			continue
		}
		if _, known := b.ledger.rules[request.Kind]; !known {
			b.answers[request.ID] = Answer{Fate: Deferred}
			continue
		}
		d := &decided{request: request}
		request.Payload, d.failure = tasks.DecodePayload(request.Kind, payload)
		b.loaded[request.ID] = d
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %d requests: %w", len(b.ids), err)
	}
	for _, id := range b.ids {
		if b.loaded[id] == nil && b.answers[id].Fate == "" {
			b.answers[id] = Answer{Fate: NotStored}
		}
	}
	return nil
}

func (b *batch) reads() *Reads {
	reads := newReads(len(b.loaded))
	for _, d := range b.loaded {
		if d.failure == nil {
			d.failure = guard(func() { b.ledger.rules[d.request.Kind].reads(d.request, reads) })
		}
	}
	return reads
}

// guard turns a rule's panic into an error: it is the fault of one request and must not end the others' process.
func guard(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rule panicked: %v\n%s", p, debug.Stack())
		}
	}()
	f()
	return nil
}

// settle decides and commits. The book is locked.
func (b *batch) settle(ctx context.Context, conn *pgx.Conn, state *State, now standing, policyVersion int) error {
	if now.policyVersion != policyVersion {
		newest, version, err := tasks.ScanPolicy(conn.QueryRow(ctx, tasks.NewestPolicySQL))
		if err != nil {
			return err
		}
		b.ledger.policy.Store(&versionedPolicy{policy: newest, version: version})
		return errPolicyChanged
	}
	b.at = now.at
	if err := b.answerUnclaimed(ctx, conn); err != nil {
		return err
	}
	state.at = now.at
	b.decide(state)
	if len(b.settled) == 0 {
		_, err := conn.Exec(ctx, "ROLLBACK")
		return err
	}
	if err := b.lookForAwaited(ctx, conn); err != nil {
		return err
	}
	return b.commit(ctx, conn, now)
}

// decide runs the rules one by one, in the order in which the requests were handed in; each sees what the earlier ones did.
func (b *batch) decide(state *State) {
	for _, id := range b.ids {
		d := b.loaded[id]
		if d == nil || !d.claimed.held {
			continue
		}
		if d.failure == nil {
			d.failure = b.resolve(d, state)
		}
		b.settled = append(b.settled, d)
		if d.failure != nil {
			d.decision = Decision{verdict: verdictDead}
		}
	}
}

// resolve runs the rule and applies its decision to the state. An error is the fault of this request, and the state is as it was.
func (b *batch) resolve(d *decided, state *State) error {
	if err := guard(func() { d.decision = b.ledger.rules[d.request.Kind].decide(state, d.request) }); err != nil {
		return err
	}
	switch d.decision.verdict {
	case verdictReject, verdictPark:
		return nil
	case verdictApply:
		for _, payload := range d.decision.FollowUps {
			followUp, err := tasks.NewRequest(payload, b.ledger.books, b.at)
			if err != nil {
				return fmt.Errorf("%w: follow-up: %w", ErrBrokenInvariant, err)
			}
			followUp.Producer = followUpProducer
			d.followUps = append(d.followUps, followUp)
		}
		return state.Post(d.decision)
	default:
		return fmt.Errorf("%w: the rule decided nothing", ErrBrokenInvariant)
	}
}

// commit writes everything that was decided and commits, in one round trip.
func (b *batch) commit(ctx context.Context, conn *pgx.Conn, now standing) error {
	guarded, unguarded := touchedAccounts(b.settled)
	cache := b.ledger.lanes[b.book].accountIDs
	if err := resolveUnguarded(ctx, conn, b.book, unguarded, cache); err != nil {
		return err
	}
	opened, nextAccount := openAccounts(guarded, now.nextAccount)
	openedSystem, nextAccount := openAccounts(unguarded, nextAccount)
	opened = append(opened, openedSystem...)

	var columns postings
	nextTransfer := columns.number(b.settled, now.nextTransfer)
	var queries pgx.Batch
	queueOpened(&queries, b.book, opened)
	columns.queue(&queries, b.book, now.at)
	queueOrderRows(&queries, b.book, b.settled, now.at)
	queueReceiptRows(&queries, b.book, b.settled)
	queueWealthRows(&queries, b.book, b.settled)
	queueCases(&queries, b.book, b.settled, now.at)
	queueSentDays(&queries, b.book, b.settled)
	queueOutcomes(&queries, b.book, b.settled, now.at)
	queueReturns(&queries, b.book, b.settled, now.at)
	queueWakes(&queries, b.book, b.settled, b.ledger.config.RingAfter, &b.bells)
	b.queueFollowUps(&queries)
	queueBalances(&queries, b.book, guarded, unguarded, opened)
	queries.Queue(updateBookSQL, b.book, nextAccount, nextTransfer, now.at)
	queries.Queue("COMMIT")
	if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
		return fmt.Errorf("write and commit %d requests: %w", len(b.settled), err)
	}
	for _, a := range unguarded {
		cache[a.name] = a.id
	}
	b.answerSettled()
	return nil
}

func (b *batch) queueFollowUps(queries *pgx.Batch) {
	var requests []tasks.Request
	for _, d := range b.settled {
		if d.decision.verdict == verdictApply {
			requests = append(requests, d.followUps...)
		}
	}
	if len(requests) == 0 {
		return
	}
	tasks.SortRequests(requests)
	queries.Queue(tasks.AcceptSQL, tasks.AcceptArgs(requests, b.ledger.config.RingAfter)...)
	for _, request := range requests {
		b.bells = append(b.bells, tasks.Bell{Kind: request.Kind, Book: request.Book, ID: request.ID})
	}
}

func (b *batch) answerSettled() {
	for _, d := range b.settled {
		answer := Answer{Fate: Decided}
		switch d.decision.verdict {
		case verdictApply, verdictReject:
			answer.Outcome = d.outcome(b.at)
		case verdictPark:
			answer.Fate = Parked
		case verdictDead:
			answer.Fate, answer.Problem = Dead, d.failure.Error()
		}
		b.answers[d.request.ID] = answer
	}
}
