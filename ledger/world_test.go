package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// userIn is the nth user who lives in a book of four.
func userIn(book, nth int) string {
	for i := 0; ; i++ {
		if user := fmt.Sprint("user", i); tasks.BookOf(user, 4) == book {
			if nth == 0 {
				return user
			}
			nth--
		}
	}
}

// rulesWith are all rules, with some replaced.
func rulesWith(replaced ...ledger.Rule) []ledger.Rule {
	kept := append([]ledger.Rule(nil), replaced...)
	for _, rule := range rules.All() {
		known := false
		for _, other := range replaced {
			known = known || other.Kind() == rule.Kind()
		}
		if !known {
			kept = append(kept, rule)
		}
	}
	return kept
}

// eventually waits until done says so. It asks often, because nothing tells it when.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := clock.System.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// count asks the database as its owner for a number.
func count(t testing.TB, db *pgtest.Database, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := db.Owner.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const waitingSQL = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

// blocked waits until n statements of the database wait for a lock.
func blocked(t *testing.T, db *pgtest.Database, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " statements wait for a lock"), func() bool {
		return count(t, db, waitingSQL) == n
	})
}

// fates lists the fates of answers.
func fates(answers []ledger.Answer) []ledger.Fate {
	list := make([]ledger.Fate, len(answers))
	for i, answer := range answers {
		list[i] = answer.Fate
	}
	return list
}
