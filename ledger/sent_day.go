package ledger

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
)

// SentDay is what a user has sent to others on a business date, as the requests decided so far have left it.
type SentDay struct {
	UserID       string
	BusinessDate string // Shanghai date, 2006-01-02
	Amount       money.Amount
	Transfers    int

	// As they were read; zero when there was no row.
	storedFen       int64
	storedTransfers int
}

// Sending counts one transfer to another user on its sender's day.
type Sending struct {
	Day    *SentDay
	Amount money.Amount
}

type sentKey struct{ userID, businessDate string }

// SentDay reads what a user of this book has sent on a business date.
func (r *Reads) SentDay(userID, businessDate string) {
	r.sent[sentKey{userID, businessDate}] = struct{}{}
}

// SentDay finds what a user has sent on a business date, which was read; nothing, when there was no row.
func (s *State) SentDay(userID, businessDate string) *SentDay {
	day, ok := s.sent[sentKey{userID, businessDate}]
	if !ok {
		panic(fmt.Sprintf("rule looks at what %s sent on %s, which it did not read", userID, businessDate))
	}
	return day
}

// PutSentDay says in a state made by hand what a user has sent on a business date.
func (s *State) PutSentDay(userID, businessDate string, amount money.Amount, transfers int) {
	s.sent[sentKey{userID, businessDate}] = &SentDay{UserID: userID, BusinessDate: businessDate, Amount: amount, Transfers: transfers}
}

// checkSending refuses to count nothing, or on no day, before anything is applied.
func (d *Decision) checkSending() error {
	if s := d.Sends; s != nil && (s.Day == nil || !s.Amount.IsPositive()) {
		return fmt.Errorf("%w: I12: %s is counted on no day", ErrBrokenInvariant, s.Amount)
	}
	return nil
}

func (s *Sending) post() {
	s.Day.Amount = s.Day.Amount.Add(s.Amount)
	s.Day.Transfers++
}

const readSentDaysSQL = `
SELECT d.user_id, d.business_date::text, d.sent_fen, d.transfers
FROM (SELECT $1::smallint AS book, * FROM unnest($2::text[], $3::date[]) AS a (user_id, business_date) OFFSET 0) asked
JOIN sent_days d ON d.book = asked.book AND d.business_date = asked.business_date AND d.user_id = asked.user_id`

func queueSentDayReads(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.sent) == 0 {
		return
	}
	var users, dates []string
	for key := range reads.sent {
		state.sent[key] = &SentDay{UserID: key.userID, BusinessDate: key.businessDate}
		users, dates = append(users, key.userID), append(dates, key.businessDate)
	}
	queries.Queue(readSentDaysSQL, state.book, users, dates).Query(func(rows pgx.Rows) error {
		var key sentKey
		var fen int64
		var transfers int
		_, err := pgx.ForEachRow(rows, []any{&key.userID, &key.businessDate, &fen, &transfers}, func() error {
			day := state.sent[key]
			day.Amount, day.Transfers = money.FromFen(fen), transfers
			day.storedFen, day.storedTransfers = fen, transfers
			return nil
		})
		return err
	})
}

// storeSentDaysSQL stores what was sent on days, if they are still as they were read: a row that has come or was changed behind the book's
// lock fails the batch.
const storeSentDaysSQL = `
WITH days AS (
    SELECT $1::smallint AS book, *
    FROM unnest($2::date[], $3::text[], $4::bigint[], $5::int[], $6::bigint[], $7::int[])
        AS a (business_date, user_id, sent_fen, transfers, stored_fen, stored_transfers)
    OFFSET 0
), changed AS (
    UPDATE sent_days d
    SET sent_fen = v.sent_fen, transfers = v.transfers
    FROM days v
    WHERE d.book = v.book AND d.business_date = v.business_date AND d.user_id = v.user_id AND d.sent_fen = v.stored_fen
      AND d.transfers = v.stored_transfers
    RETURNING 1
), begun AS (
    INSERT INTO sent_days (book, business_date, user_id, sent_fen, transfers)
    SELECT book, business_date, user_id, sent_fen, transfers FROM days WHERE stored_transfers = 0
    ON CONFLICT ON CONSTRAINT user_has_one_sent_day_per_date DO NOTHING
    RETURNING 1
)
SELECT expect_rows('sent days', (SELECT count(*) FROM changed) + (SELECT count(*) FROM begun), cardinality($2::date[]))`

// queueSentDays stores the days on which the batch has sent something, each once and as the batch leaves it.
func queueSentDays(queries *pgx.Batch, book int, batch []*decided) {
	var dates, users []string
	var fen, storedFen []int64
	var transfers, storedTransfers []int
	seen := map[*SentDay]bool{}
	for _, d := range batch {
		s := applied(d).Sends
		if s == nil || seen[s.Day] {
			continue
		}
		day := s.Day
		seen[day] = true
		dates, users = append(dates, day.BusinessDate), append(users, day.UserID)
		fen, transfers = append(fen, day.Amount.Fen()), append(transfers, day.Transfers)
		storedFen, storedTransfers = append(storedFen, day.storedFen), append(storedTransfers, day.storedTransfers)
	}
	if len(dates) > 0 {
		queries.Queue(storeSentDaysSQL, book, dates, users, fen, transfers, storedFen, storedTransfers)
	}
}
