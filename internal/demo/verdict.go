package demo

import (
	"fmt"
	"slices"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Verdict is what the producers' record says of the books.
type Verdict struct {
	Lost    []string // each names what is missing
	Doubled []string // each names what is there twice, or should not be
	Counts  Counts
}

// Counts are what became of the producers' requests, by the record and by the books.
type Counts struct {
	Tally    Tally
	Accepted int // rows in the books
	Expected Outcomes
	Found    Outcomes
	Payments int // in the channels' record
	Books    *Books
}

// Outcomes count requests by what became of them.
type Outcomes struct {
	Applied, Parked, Dead, Undecided int
	Rejected                         map[tasks.Reason]int
}

func (o *Outcomes) rejected() int {
	sum := 0
	for _, n := range o.Rejected {
		sum += n
	}
	return sum
}

// OK says that nothing is lost and nothing is doubled.
func (v *Verdict) OK() bool { return len(v.Lost)+len(v.Doubled) == 0 }

func (v *Verdict) lost(format string, args ...any) {
	v.Lost = append(v.Lost, fmt.Sprintf(format, args...))
}

func (v *Verdict) doubled(format string, args ...any) {
	v.Doubled = append(v.Doubled, fmt.Sprintf(format, args...))
}

// Judge compares the producers' record and the channels' with the books. Everything that was accepted must have been decided, or be parked.
func Judge(record *Record, channels []simulate.Entry, books *Books) *Verdict {
	v := &Verdict{Counts: Counts{Tally: record.Tally(), Accepted: len(books.Requests), Books: books}}
	v.Counts.Expected.Rejected, v.Counts.Found.Rejected = map[tasks.Reason]int{}, map[tasks.Reason]int{}
	v.judgeRequests(record, books)
	v.judgeHoldings(record.Holdings(), books.Holdings)
	v.judgeChannels(channels, books)
	if books.Undecided > 0 {
		v.lost("%d follow-ups have no outcome", books.Undecided)
	}
	return v
}

func (v *Verdict) judgeRequests(record *Record, books *Books) {
	record.mu.Lock()
	defer record.mu.Unlock()
	won, placed := map[*Contest]int{}, map[*Contest]int{}
	for _, e := range record.inOrder {
		v.judgeAnswers(e)
		row, stored := books.Requests[e.ask.name()]
		if !e.acknowledged() {
			continue
		}
		v.expect(e.ask, placed)
		if !stored {
			v.lost("%s was accepted and is not stored", e.ask.name())
			continue
		}
		if contest := e.ask.Contest; contest != nil && row.State == string(FateApplied) {
			won[contest]++
		}
		v.judgeFate(e, row)
		v.judgeMoves(e, row)
	}
	for name, row := range books.Requests {
		v.found(row)
		if _, asked := record.entries[name]; !asked {
			v.doubled("%s is stored, and nobody asked for it", name)
		}
	}
	v.judgeContests(record, won)
}

// judgeAnswers looks at what producers were told, before any look at the books.
func (v *Verdict) judgeAnswers(e *entry) {
	name := e.ask.name()
	if e.accepted > 1 {
		v.doubled("%s was answered as accepted %d times", name, e.accepted)
	}
	if e.taken > 0 {
		v.doubled("%s was taken with other content %d times", name, e.taken)
	}
	if e.accepted == 0 && e.replayed > 0 && e.unknown == 0 {
		v.lost("%s was answered as replayed and never as accepted", name)
	}
	if e.conflicts > 0 {
		v.lost("%s was answered as a conflict %d times, with the same content", name, e.conflicts)
	}
	if e.refused != nil {
		v.lost("%s was refused: %v", name, e.refused)
	}
}

// judgeFate compares what became of a request with what must have.
func (v *Verdict) judgeFate(e *entry, row Row) {
	name, ask := e.ask.name(), e.ask
	if e.told != "" && string(e.told) != row.State {
		v.lost("%s was told to be %s and is %s", name, e.told, row.State)
	}
	switch {
	case row.State == "":
		v.lost("%s has no outcome and is not pending", name)
	case row.State == string(ask.Fate) && ask.Fate == FateRejected && row.Reason != ask.Reason:
		v.lost("%s is rejected for %s, expected %s", name, row.Reason, ask.Reason)
	case row.State == string(ask.Fate):
	case ask.Contest != nil && row.State == string(FateRejected) && row.Reason == ask.Contest.Reason:
	case row.State == string(FateApplied):
		v.doubled("%s is applied, expected %s", name, ask.Fate)
	default:
		v.lost("%s is %s, expected %s", name, row, ask.Fate)
	}
}

// judgeMoves compares what a request moved with what it must have.
func (v *Verdict) judgeMoves(e *entry, row Row) {
	name, want := e.ask.name(), e.ask.Moves
	if row.State != string(FateApplied) {
		want = Moves{}
	}
	moved := fmt.Sprintf("%s made %d transfers of %s in all, expected %d of %s", name, row.Moves.Transfers, yuan(row.Moves.Fen),
		want.Transfers, yuan(want.Fen))
	switch {
	case row.Moves == want && row.Named == want.Transfers:
	case row.Moves.Transfers > want.Transfers || row.Moves.Fen > want.Fen:
		v.doubled("%s", moved)
	default:
		v.lost("%s; its outcome names %d", moved, row.Named)
	}
}

// judgeContests counts the winners. One too few was refused without need.
func (v *Verdict) judgeContests(record *Record, won map[*Contest]int) {
	seen := map[*Contest]bool{}
	for _, e := range record.inOrder {
		contest := e.ask.Contest
		if contest == nil || seen[contest] || !e.acknowledged() {
			continue
		}
		seen[contest] = true
		switch n := won[contest]; {
		case n > contest.Wins:
			v.doubled("%s: %d are applied, the money is enough for %d", contest.Name, n, contest.Wins)
		case n < contest.Wins:
			v.lost("%s: %d are applied, the money is enough for %d", contest.Name, n, contest.Wins)
		}
	}
}

// judgeHoldings compares what everybody holds.
func (v *Verdict) judgeHoldings(want, got map[string]int64) {
	var differ []string
	for holder, fen := range want {
		if got[holder] != fen {
			differ = append(differ, holder)
		}
	}
	for holder, fen := range got {
		if _, expected := want[holder]; !expected && fen != 0 {
			differ = append(differ, holder)
		}
	}
	slices.Sort(differ)
	for _, holder := range differ {
		if got[holder] > want[holder] {
			v.doubled("%s is %s, by the record %s", holder, yuan(got[holder]), yuan(want[holder]))
		} else {
			v.lost("%s is %s, by the record %s", holder, yuan(got[holder]), yuan(want[holder]))
		}
	}
}

// expect counts what must become of an ask. Of a contest, the first ones are counted as winners.
func (v *Verdict) expect(ask *Ask, placed map[*Contest]int) {
	expected := &v.Counts.Expected
	if contest := ask.Contest; contest != nil {
		if placed[contest]++; placed[contest] > contest.Wins {
			expected.Rejected[contest.Reason]++
			return
		}
	}
	switch ask.Fate {
	case FateApplied:
		expected.Applied++
	case FateRejected:
		expected.Rejected[ask.Reason]++
	case FateParked:
		expected.Parked++
	}
}

func (v *Verdict) found(row Row) {
	switch found := &v.Counts.Found; row.State {
	case string(FateApplied):
		found.Applied++
	case string(FateRejected):
		found.Rejected[row.Reason]++
	case string(FateParked):
		found.Parked++
	case "dead":
		found.Dead++
	default:
		found.Undecided++
	}
}

func yuan(fen int64) string { return money.FromFen(fen).String() }
