package tasks

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
)

// shortCasesSQL says of cases that are there whether nothing but a shortage stands behind them, which never changes.
const shortCasesSQL = `
SELECT asked.place, c.kind = 'paid_twice'
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) WITH ORDINALITY AS asked (book, request_id, ordinal, place)
JOIN cases c ON c.book = asked.book AND c.request_id = asked.request_id AND c.ordinal = asked.ordinal`

// closingsThatCannotBe finds the closings among the requests whose statement cannot be so of their case, with a *FieldError each. The rule
// would reject them as well; but a rejection spends the key, which is the case's, and of a shortage it is the only way out. It asks
// PostgreSQL nothing when there is no closing, and locks nothing.
func (c *Client) closingsThatCannotBe(ctx context.Context, db batchSender, requests ...Request) (map[uuid.UUID]error, error) {
	var closings []uuid.UUID
	var statements []CaseStatement
	var books, ordinals []int16
	var openers []uuid.UUID
	for i := range requests {
		if requests[i].Kind != CloseCase {
			continue
		}
		var asked CaseClosing
		if err := json.Unmarshal([]byte(requests[i].Payload), &asked); err != nil {
			return nil, fmt.Errorf("read a %s that was just written: %w", CloseCase, err)
		}
		ref, err := ParseCaseID(asked.CaseID)
		if err != nil {
			return nil, err
		}
		closings, statements = append(closings, requests[i].ID), append(statements, asked.Statement)
		books, openers, ordinals = append(books, int16(ref.Book)), append(openers, ref.Request), append(ordinals, int16(ref.Ordinal))
	}
	if closings == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.AnswerWithin)
	defer cancel()
	refused := map[uuid.UUID]error{}
	var queries pgx.Batch
	queries.Queue(shortCasesSQL, books, pguuid.Array(openers), ordinals).Query(func(rows pgx.Rows) error {
		var place int
		var short bool
		_, err := pgx.ForEachRow(rows, []any{&place, &short}, func() error {
			if err := checkStatement(statements[place-1], short); err != nil {
				refused[closings[place-1]] = err
			}
			return nil
		})
		return err
	})
	if err := db.SendBatch(ctx, &queries).Close(); err != nil {
		return nil, fmt.Errorf("look at %d cases: %w", len(closings), err)
	}
	return refused, nil
}

func checkStatement(said CaseStatement, short bool) error {
	switch {
	case short && said != ShortageStays:
		return &FieldError{Field: "statement", Problem: "is " + quote(string(said)) + ", and nothing stands behind the case",
			Allowed: string(ShortageStays)}
	case !short && said == ShortageStays:
		return &FieldError{Field: "statement", Problem: "is " + quote(string(said)) + ", and money stands behind the case",
			Allowed: string(PaidAtChannel)}
	}
	return nil
}
