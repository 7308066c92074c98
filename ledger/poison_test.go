package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// badRule grants rewards, except for campaigns that name a fault: it then commits that fault. ok turns the faults off, as a new
// version of the rule would.
func badRule(ok *sync.Map) ledger.Rule {
	return ledger.NewRule(func(p *tasks.Reward, r *ledger.Reads) {
		r.Account(ledger.UserReward(p.UserID))
		r.Order("o1")
		if p.CampaignID == "reads-panic" {
			panic("reads panicked")
		}
	}, func(s *ledger.State, _ *ledger.Request, p *tasks.Reward) ledger.Decision {
		reward, promotion := s.Account(ledger.UserReward(p.UserID)), s.Account(ledger.Promotion(p.CampaignID))
		good := ledger.Apply("")
		good.Move(promotion, reward, p.Amount)
		if _, mended := ok.Load(p.CampaignID); mended {
			return good
		}
		return commitFault(s, p, good, promotion, reward)
	})
}

func commitFault(s *ledger.State, p *tasks.Reward, d ledger.Decision, promotion, reward *ledger.Account) ledger.Decision {
	order, _ := s.Order("o1")
	switch p.CampaignID {
	case "panic":
		panic("rule panicked with \x00 and \xff and 用户")
	case "nil":
		return *(*ledger.Decision)(nil)
	case "unread":
		s.Account(ledger.UserCash("somebody"))
	case "text":
		return d.WithDetail("a\x00b") // PostgreSQL stores no zero byte
	case "utf8":
		return d.WithDetail("\xff")
	case "reason":
		return ledger.Reject("", "a rejection without a reason")
	case "verdict":
		return ledger.Decision{}
	case "zero":
		d.Move(promotion, reward, money.Amount{})
	case "negative":
		d.Move(promotion, reward, p.Amount.Neg())
	case "self":
		d.Move(promotion, promotion, p.Amount)
	case "overdraw":
		d.Move(reward, promotion, money.FromFen(1_000_000_000))
	case "nobody":
		d.Move(nil, reward, p.Amount)
	case "over-refund":
		d.LegRefunds = []ledger.LegRefund{{Order: order, Leg: 0, Amount: ledgertest.Yuan("1.00")},
			{Order: order, Leg: 0, Amount: ledgertest.Yuan("99.00")}}
	case "no-such-leg":
		d.LegRefunds = []ledger.LegRefund{{Order: order, Leg: 7, Amount: p.Amount}}
	case "no-such-line":
		d.LineRefunds = []ledger.LineRefund{{Order: order, LineID: "nosuch", PerLeg: []money.Amount{p.Amount}}}
	case "follow-up":
		d.FollowUps = []tasks.Payload{&tasks.TransferArrival{TransferID: "a/b", ToUserID: "u1", Amount: p.Amount, OccurredAt: ledgertest.Noon}}
	case "late-follow-up":
		d.FollowUps = []tasks.Payload{&tasks.SweepPart{ProductID: "xiaojinku", BusinessDate: "2026-03-02", Book: 77}}
	}
	return d
}

// faults are the campaigns of badRule, each with what its dead letter must say.
var faults = map[string]string{
	"panic": "panicked", "nil": "nil pointer", "unread": "did not read", "reads-panic": "reads panicked", "text": "22021", "utf8": "22021",
	"reason": "23514", "verdict": "invariant", "zero": "I1", "negative": "I1", "self": "I1", "overdraw": "I3", "nobody": "invariant",
	"over-refund": "I6", "no-such-leg": "I6", "no-such-line": "I6", "follow-up": "transfer_id", "late-follow-up": "book",
}

// grant is a reward of a campaign, of which u1 gets one yuan.
func grant(id, campaign string) *tasks.Reward {
	return &tasks.Reward{RewardID: id, UserID: "u1", CampaignID: campaign, Amount: ledgertest.Yuan("1.00"), OccurredAt: ledgertest.Noon}
}

func TestPoisonInABatchStandsAlone(t *testing.T) {
	t.Parallel()
	for fault, says := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			var mended sync.Map
			b := ledgertest.Open(t, ledgertest.WithRules(rulesWith(badRule(&mended))...))
			ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"),
				ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "10.00")))...)
			receipts := b.Accept(t, grant("w1", "good"), grant("w2", "good"), grant("poison", fault), grant("w3", "good"),
				ledgertest.Refund("rf1", "o1", "u1", "9.50"))
			answers := b.Apply(t, receipts...)
			ledgertest.Applied(t, answers[0], answers[1], answers[3], answers[4])
			if got := answers[2]; got.Fate != ledger.Dead || !strings.Contains(got.Problem, says) {
				t.Errorf("the poison's answer is %+v, want dead because of %q", got, says)
			}
			b.Expect(t, ledger.UserReward("u1"), "3.00")
			b.Expect(t, ledger.UserCash("u1"), "9.50")
			expectRaised(t, b, fault, says, &mended)
		})
	}
}

// expectRaised fails the test unless the poison is dead, stays so when it is rung again, and is applied once the rule is mended and a
// person has let it run again.
func expectRaised(t *testing.T, b *ledgertest.Books, fault, says string, mended *sync.Map) {
	t.Helper()
	dead, err := b.Reader.Dead(t.Context(), 10)
	if err != nil || len(dead) != 1 || dead[0].Key != "poison" || !strings.Contains(dead[0].LastError, says) {
		t.Fatalf("dead are %+v, %v, want the poison because of %q", dead, err, says)
	}
	receipt := b.Accept(t, grant("poison", fault))[0]
	if got := b.Apply(t, receipt)[0]; receipt.Status != tasks.Replayed || got.Fate != ledger.Dead {
		t.Errorf("rung again: %+v, %+v", receipt, got)
	}
	mended.Store(fault, true)
	if err := b.Ledger.Requeue(t.Context(), tasks.RewardGrant, "poison", "ada"); err != nil {
		t.Fatal(err)
	}
	if err := b.Ledger.Requeue(t.Context(), tasks.RewardGrant, "poison", "ben"); !errors.Is(err, ledger.ErrNotDead) {
		t.Errorf("requeued twice: %v, want ErrNotDead", err)
	}
	b.Settle(t)
	want := "4.00"
	if fault == "reads-panic" { // its fault is not in what was mended
		want = "3.00"
	}
	b.Expect(t, ledger.UserReward("u1"), want)
}

// deafToRollbacks is a line to PostgreSQL that swallows the first ROLLBACK.
type deafToRollbacks struct {
	net.Conn
	swallowed *atomic.Bool
}

func (d deafToRollbacks) Write(bytes []byte) (int, error) {
	if strings.Contains(string(bytes), "ROLLBACK") && d.swallowed.CompareAndSwap(false, true) {
		return len(bytes), nil
	}
	return d.Conn.Write(bytes)
}

func TestRollbackThatIsNotAnsweredHoldsNoLane(t *testing.T) {
	t.Parallel()
	var mended sync.Map
	b := ledgertest.Open(t, ledgertest.WithRules(rulesWith(badRule(&mended))...))
	swallowed := &atomic.Bool{}
	pool, err := postgres.Open(t.Context(), b.DB.URL, postgres.Configure(func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return deafToRollbacks{conn, swallowed}, err
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	l, err := ledger.Open(t.Context(), pool, ledger.Config{Rules: rulesWith(badRule(&mended)), BatchTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	receipt := b.Accept(t, grant("poison", "text"))[0]
	answers, err := l.Apply(t.Context(), receipt.Book, receipt.ID)
	if err != nil || answers[0].Fate != ledger.Dead || !swallowed.Load() {
		t.Errorf("answers are %+v, %v; a rollback was swallowed: %t", answers, err, swallowed.Load())
	}
}

func TestManyPoisonsInOneBatchAreEachFound(t *testing.T) {
	t.Parallel()
	var mended sync.Map
	b := ledgertest.Open(t, ledgertest.WithRules(rulesWith(badRule(&mended))...))
	var payloads []tasks.Payload
	for i := range 60 {
		campaign := "good"
		if i%7 == 3 {
			campaign = []string{"text", "panic", "reason"}[i%3]
		}
		payloads = append(payloads, grant(fmt.Sprint("w", i), campaign))
	}
	dead := 0
	for i, answer := range b.Apply(t, b.Accept(t, payloads...)...) {
		if i%7 == 3 {
			dead++
			if answer.Fate != ledger.Dead {
				t.Errorf("poison %d: %+v", i, answer)
			}
		} else {
			ledgertest.Applied(t, answer)
		}
	}
	b.Expect(t, ledger.UserReward("u1"), fmt.Sprintf("%d.00", 60-dead))
}

// A stored payload that this version cannot decode is the fault of no neighbour.
func TestPayloadThatCannotBeDecodedIsDead(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	good := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	bad := uuid.New()
	if _, err := b.DB.Pool.Exec(t.Context(), `WITH r AS (
    INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
    VALUES ($1, $2, 'reward:grant', 'bad', '{"amount":1.5}', 'test', now(), now()) RETURNING book, id, kind
) INSERT INTO pending (book, request_id, kind, ring_at) SELECT book, id, kind, now() FROM r`, good.Book, bad); err != nil {
		t.Fatal(err)
	}
	answers, err := b.Ledger.Apply(t.Context(), good.Book, bad, good.ID)
	if err != nil || answers[0].Fate != ledger.Dead || !strings.Contains(answers[0].Problem, "decode") {
		t.Fatalf("%+v, %v", answers, err)
	}
	ledgertest.Applied(t, answers[1])
}

// Two books race for one payment of a channel. One gets it, the other is told so: it is a refusal, not a fault.
func TestOneChannelPaymentClaimedInTwoBooksAtOnceFundsOne(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	var mu sync.Mutex
	results := map[tasks.Result]int{}
	var applying sync.WaitGroup
	for round := range 10 {
		for book := range 4 {
			p := ledgertest.Recharge(fmt.Sprintf("r%d-%d", round, book), userIn(book, 0), "1.00")
			p.ChannelTxnID = fmt.Sprint("wx", round)
			receipt := b.Accept(t, p)[0]
			applying.Go(func() {
				answers, err := b.Ledger.Apply(t.Context(), receipt.Book, receipt.ID)
				if err != nil || answers[0].Fate != ledger.Decided {
					t.Errorf("%+v, %v", answers, err)
					return
				}
				if reason := answers[0].Outcome.Reason; reason != "" && reason != tasks.ChannelPaymentUsed {
					t.Errorf("refused for %s", reason)
				}
				mu.Lock()
				defer mu.Unlock()
				results[answers[0].Outcome.Result]++
			})
		}
	}
	applying.Wait()
	if results[tasks.Applied] != 10 || results[tasks.Rejected] != 30 {
		t.Errorf("results are %v, want 10 applied and 30 rejected", results)
	}
}

// What others say goes into texts of ours: it is cut and cleaned so that it can be stored, and never lost for how it is written.
func TestForeignProblemsAreStoredHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	ring := tasks.Ring{Kind: receipt.Kind, Book: receipt.Book, IDs: []uuid.UUID{receipt.ID}}
	for _, problem := range []string{"", "a\x00b", "\xff\xfe", "x" + strings.Repeat("退款失败", 1000), strings.Repeat("y", 1<<20)} {
		if err := b.Ledger.RecordFailure(t.Context(), ring, problem); err != nil {
			t.Errorf("failure %.10q: %v", problem, err)
		}
		if err := b.Ledger.RecordStray(t.Context(), "queue"+problem, "id"+problem, problem, []byte(problem)); err != nil {
			t.Errorf("stray %.10q: %v", problem, err)
		}
		if err := b.Ledger.Bury(t.Context(), receipt.Book, receipt.ID, problem); err != nil {
			t.Errorf("burial %.10q: %v", problem, err)
		}
		if err := b.Ledger.Requeue(t.Context(), receipt.Kind, receipt.Key, "ada"); err != nil {
			t.Errorf("burial %.10q did not happen: %v", problem, err)
		}
	}
	b.Settle(t)
	b.Expect(t, ledger.UserReward("u1"), "1.00")
}

// A poison that could not be buried is undecided: whoever is told that it is dead would not bring it again.
func TestPoisonWhoseBurialFailsIsNotCalledDead(t *testing.T) {
	t.Parallel()
	var mended sync.Map
	b := ledgertest.Open(t, ledgertest.WithRules(rulesWith(badRule(&mended))...))
	if _, err := b.DB.Owner.Exec(t.Context(), `CREATE FUNCTION no_burial() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'the gravedigger is away' USING ERRCODE = '58030'; END $$;
		CREATE TRIGGER no_burial BEFORE UPDATE ON pending FOR EACH ROW WHEN (NEW.state = 'dead') EXECUTE FUNCTION no_burial()`); err != nil {
		t.Fatal(err)
	}
	receipts := b.Accept(t, grant("w1", "good"), grant("poison", "text"), grant("w2", "good"))
	ids := []uuid.UUID{receipts[0].ID, receipts[1].ID, receipts[2].ID}
	answers, err := b.Ledger.Apply(t.Context(), receipts[0].Book, ids...)
	if err == nil || !strings.Contains(err.Error(), "the gravedigger is away") || answers[1].Fate == ledger.Dead {
		t.Errorf("%+v, %v", answers, err)
	}
	ledgertest.Applied(t, answers[0], answers[2])
	if _, err := b.DB.Owner.Exec(t.Context(), "DROP TRIGGER no_burial ON pending"); err != nil {
		t.Fatal(err)
	}
	if got := b.Apply(t, receipts[1])[0]; got.Fate != ledger.Dead {
		t.Errorf("answer is %+v, want dead", got)
	}
}

func TestBurialLeavesADecidedRequestAlone(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	first := b.Apply(t, receipt)[0]
	if err := b.Ledger.Bury(t.Context(), receipt.Book, receipt.ID, "too late"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ledger.BuryUnwoken(t.Context(), -time.Hour, 10); err != nil {
		t.Fatal(err)
	}
	if got := b.Apply(t, receipt)[0]; got.Outcome != first.Outcome || !got.Replay {
		t.Errorf("answer is %+v, want the stored outcome", got)
	}
	if err := b.Ledger.Requeue(t.Context(), receipt.Kind, receipt.Key, "ada"); !errors.Is(err, ledger.ErrNotDead) {
		t.Errorf("requeue: %v, want ErrNotDead", err)
	}
	if err := b.Ledger.Requeue(t.Context(), receipt.Kind, "nosuch", "ada"); !errors.Is(err, ledger.ErrNotDead) {
		t.Errorf("requeue of what is not stored: %v, want ErrNotDead", err)
	}
}
