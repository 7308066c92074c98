package demo

import (
	"strings"
	"testing"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// oneReward is a record of a single accepted reward of 5.00, and the books that go with it.
func oneReward() (*Record, *Books) {
	ask := &Ask{Key: "rw1", Fate: FateApplied, Payload: &tasks.Reward{RewardID: "rw1", UserID: "u1", CampaignID: "c1",
		Amount: money.FromFen(5_00)}}
	ask.move(promotionOf("c1"), rewardOf("u1"), 5_00)
	record := NewRecord()
	record.Answer(ask, false, tasks.Receipt{Status: tasks.Accepted}, nil)
	return record, &Books{
		Requests: map[requestName]Row{ask.name(): {State: "applied", Named: 1, Moves: Moves{Transfers: 1, Fen: 5_00}}},
		Holdings: map[string]int64{promotionOf("c1"): -5_00, rewardOf("u1"): 5_00},
	}
}

var rewardName = requestName{tasks.RewardGrant, "rw1"}

func TestBooksThatAgreeWithTheRecordHaveNoFindings(t *testing.T) {
	t.Parallel()
	record, books := oneReward()
	if v := Judge(record, nil, books); !v.OK() {
		t.Errorf("lost %q, doubled %q, want nothing", v.Lost, v.Doubled)
	}
}

func rewardAsk(record *Record) *Ask { return record.entries[rewardName].ask }

// differences are ways in which books and record can differ.
var differences = map[string]struct {
	change        func(*Record, *Books)
	lost, doubled string // a part of one finding
}{
	"accepted and not stored": {
		change: func(_ *Record, b *Books) { delete(b.Requests, rewardName) }, lost: "was accepted and is not stored",
	},
	"neither outcome nor pending": {
		change: func(_ *Record, b *Books) { b.Requests[rewardName] = Row{} }, lost: "has no outcome and is not pending",
	},
	"still pending": {
		change: func(_ *Record, b *Books) { b.Requests[rewardName] = Row{State: "accepted"} }, lost: "is accepted, expected applied",
	},
	"dead": {
		change: func(_ *Record, b *Books) { b.Requests[rewardName] = Row{State: "dead", LastError: "boom"} }, lost: "is dead (boom)",
	},
	"refused though nothing speaks against it": {
		change: func(_ *Record, b *Books) {
			b.Requests[rewardName] = Row{State: "rejected", Reason: tasks.NoAccount}
		}, lost: "is rejected (no_account), expected applied",
	},
	"refused for another reason": {
		change: func(r *Record, b *Books) {
			rewardAsk(r).rejected(tasks.NoAccount)
			b.Requests[rewardName] = Row{State: "rejected", Reason: tasks.InsufficientFunds}
			clear(b.Holdings)
		}, lost: "is rejected for insufficient_funds, expected no_account",
	},
	"applied though it must be refused": {
		change: func(r *Record, _ *Books) { rewardAsk(r).rejected(tasks.NoAccount) }, doubled: "is applied, expected rejected",
	},
	"moved twice": {
		change: func(_ *Record, b *Books) {
			b.Requests[rewardName] = Row{State: "applied", Named: 2, Moves: Moves{Transfers: 2, Fen: 10_00}}
		}, doubled: "made 2 transfers of 10.00 in all, expected 1 of 5.00",
	},
	"moved less": {
		change: func(_ *Record, b *Books) {
			b.Requests[rewardName] = Row{State: "applied", Named: 1, Moves: Moves{Transfers: 1, Fen: 4_99}}
		}, lost: "made 1 transfers of 4.99 in all, expected 1 of 5.00",
	},
	"the user has more": {
		change: func(_ *Record, b *Books) { b.Holdings[rewardOf("u1")]++ }, doubled: "user/u1/reward is 5.01, by the record 5.00",
	},
	"the user has less": {
		change: func(_ *Record, b *Books) { b.Holdings[rewardOf("u1")]-- }, lost: "user/u1/reward is 4.99, by the record 5.00",
	},
	"somebody whom the record does not know has money": {
		change: func(_ *Record, b *Books) { b.Holdings[cashOf("u2")] = 1 }, doubled: "user/u2/cash is 0.01, by the record 0.00",
	},
	"stored and never asked": {
		change:  func(_ *Record, b *Books) { b.Requests[requestName{tasks.RewardGrant, "rw2"}] = Row{State: "rejected"} },
		doubled: "nobody asked for it",
	},
	"accepted twice": {
		change:  func(r *Record, _ *Books) { r.Answer(rewardAsk(r), false, tasks.Receipt{Status: tasks.Accepted}, nil) },
		doubled: "was answered as accepted 2 times",
	},
	"other content taken": {
		change:  func(r *Record, _ *Books) { r.Answer(rewardAsk(r), true, tasks.Receipt{Status: tasks.Accepted}, nil) },
		doubled: "was taken with other content",
	},
	"same content called a conflict": {
		change: func(r *Record, _ *Books) { r.Answer(rewardAsk(r), false, tasks.Receipt{}, &tasks.ConflictError{}) },
		lost:   "was answered as a conflict",
	},
	"refused for a field": {
		change: func(r *Record, _ *Books) {
			r.Answer(rewardAsk(r), false, tasks.Receipt{}, &tasks.FieldError{Field: "amount"})
		},
		lost: "was refused: amount",
	},
	"told another outcome": {
		change: func(r *Record, _ *Books) {
			r.Answer(rewardAsk(r), false, tasks.Receipt{Status: tasks.Replayed, Outcome: &tasks.Outcome{Result: tasks.Rejected}}, nil)
		}, lost: "was told to be rejected and is applied",
	},
	"a follow-up without an end": {
		change: func(_ *Record, b *Books) { b.Undecided = 3 }, lost: "3 follow-ups have no outcome",
	},
}

func TestEachWayToDifferFromTheRecordIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range differences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record, books := oneReward()
			c.change(record, books)
			v := Judge(record, nil, books)
			if v.OK() {
				t.Fatal("nothing is found")
			}
			if c.lost != "" && !strings.Contains(strings.Join(v.Lost, "\n"), c.lost) {
				t.Errorf("lost %q, want %q among them", v.Lost, c.lost)
			}
			if c.doubled != "" && !strings.Contains(strings.Join(v.Doubled, "\n"), c.doubled) {
				t.Errorf("doubled %q, want %q among them", v.Doubled, c.doubled)
			}
		})
	}
}

// contested is a record of three accepted asks of which two can be applied, and books in which so many are.
func contested(applied int) (*Record, *Books) {
	record, books := NewRecord(), &Books{Requests: map[requestName]Row{}, Holdings: map[string]int64{}}
	contest := &Contest{Name: "refunds of or1", Wins: 2, Reason: tasks.ExceedsRefundable}
	for i, key := range []string{"rf1", "rf2", "rf3"} {
		o := &order{id: "or1", userID: "u1", merchantID: "m1", legs: []leg{{tasks.SourceCash, 1_00}}}
		ask := o.refund(key, 40, (&planner{config: PlanConfig{Requests: 1}}).when())
		ask.Contest = contest
		record.Answer(ask, false, tasks.Receipt{Status: tasks.Accepted}, nil)
		books.Requests[ask.name()] = Row{State: "rejected", Reason: contest.Reason}
		if i < applied {
			books.Requests[ask.name()] = Row{State: "applied", Named: 1, Moves: ask.Moves}
			for _, effect := range ask.Effects {
				books.Holdings[effect.Holder] += effect.Fen
			}
		}
	}
	return record, books
}

func TestOfACompetitionAsManyWinAsTheMoneyIsEnoughFor(t *testing.T) {
	t.Parallel()
	for applied, want := range []struct{ lost, doubled string }{
		0: {lost: "refunds of or1: 0 are applied, the money is enough for 2"},
		1: {lost: "refunds of or1: 1 are applied, the money is enough for 2"},
		2: {},
		3: {doubled: "refunds of or1: 3 are applied, the money is enough for 2"},
	} {
		v := judgeBare(contested(applied))
		if !strings.Contains(strings.Join(v.Lost, "\n"), want.lost) || !strings.Contains(strings.Join(v.Doubled, "\n"), want.doubled) {
			t.Errorf("%d applied: lost %q, doubled %q, want %+v", applied, v.Lost, v.Doubled, want)
		}
		if v.OK() != (applied == 2) {
			t.Errorf("%d applied: lost %q, doubled %q", applied, v.Lost, v.Doubled)
		}
	}
}

// judgeBare judges where no channel has a record.
func judgeBare(record *Record, books *Books) *Verdict { return Judge(record, nil, books) }
