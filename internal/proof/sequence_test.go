package proof_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// judged is a real ledger and the model that judges it, given the same requests. Each sequence has users, orders and merchants of its
// own, so that many share a database.
type judged struct {
	db      *pgtest.Database
	ledger  *ledger.Ledger
	client  *tasks.Client
	mu      sync.Mutex
	rung    []tasks.Bell
	nights  atomic.Int64 // a night is swept once, over all sequences
	counted atomic.Int64

	// Of the sequence under way.
	model    *model
	prefix   string
	asked    map[string]tasks.Payload // by dueName
	outcomes map[string]modelOutcome
	due      map[string]tasks.Payload // what the model expects to be rung for
}

func newJudged(t *testing.T) *judged {
	t.Helper()
	j := &judged{db: pgtest.New(t)}
	ledgertest.Audit(t, j.db)
	var err error
	j.ledger, err = ledger.Open(t.Context(), j.db.Pool, ledger.Config{Rules: rules.All(), Ring: func(bells []tasks.Bell) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.rung = append(j.rung, bells...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.ledger.Close)
	if j.client, err = tasks.NewClient(t.Context(), j.db.Pool, nil, tasks.ClientConfig{Producer: "proof"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.client.Close)
	return j
}

// begin begins a sequence under a policy.
func (j *judged) begin(t *rapid.T, split tasks.RefundSplit) {
	policy := tasks.DefaultPolicy()
	policy.RefundSplit = split
	limit := modelSent{rapid.Int64Range(1, 6000).Draw(t, "sent a day"), rapid.Int64Range(1, 5).Draw(t, "transfers a day")}
	policy.TransferredPerDayMax, policy.TransfersPerDayMax = money.FromFen(limit.fen), int(limit.transfers)
	if _, err := ledger.SetPolicy(t.Context(), j.db.Pool, policy, "proof"); err != nil {
		t.Fatal(err)
	}
	j.model, j.prefix = newModel(split, limit), fmt.Sprintf("s%d-", j.counted.Add(1))
	j.asked, j.outcomes, j.due = map[string]tasks.Payload{}, map[string]modelOutcome{}, map[string]tasks.Payload{}
	for account, fen := range j.shared(t) {
		j.model.balances[account] = fen
	}
}

// dueName identifies a request without the numbers that only the system knows how to make.
func dueName(t *rapid.T, payload tasks.Payload) string {
	if order, ok := payload.(*tasks.RefundOrder); ok {
		return fmt.Sprintf("refund:send %s/%d", order.RefundID, order.Leg)
	}
	request, err := tasks.NewRequest(filled(payload), 4, ledgertest.Noon)
	if err != nil {
		t.Fatalf("%+v: %v", payload, err)
	}
	return string(request.Kind) + " " + request.Key
}

// filled adds what the model leaves out and a request needs.
func filled(payload tasks.Payload) tasks.Payload {
	if arrival, ok := payload.(*tasks.TransferArrival); ok && arrival.OccurredAt.IsZero() {
		whole := *arrival
		whole.OccurredAt = ledgertest.Noon
		return &whole
	}
	return payload
}

// ask accepts a group of requests, applies those of each book together, and compares every answer.
func (j *judged) ask(t *rapid.T, payloads ...tasks.Payload) {
	items, err := j.client.EnqueueMany(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		id   uuid.UUID
		name string
	}
	books := make([][]place, 4)
	for i, item := range items {
		name := dueName(t, payloads[i])
		was, before := j.asked[name]
		want := tasks.Accepted
		switch {
		case before && cmp.Equal(was, payloads[i], cmp.Comparer(func(a, b money.Amount) bool { return a == b })):
			want = tasks.Replayed
		case before:
			want = tasks.Conflicting
		default:
			j.asked[name] = payloads[i]
			if payment, ok := payloads[i].(*tasks.Payment); ok {
				j.model.payers[payment.OrderID] = payment.UserID
			}
		}
		if item.Err != nil || item.Receipt.Status != want {
			t.Fatalf("%s %+v: %+v, want %s", name, payloads[i], item, want)
		}
		book := &books[item.Receipt.Book]
		if !slices.ContainsFunc(*book, func(p place) bool { return p.name == name }) {
			*book = append(*book, place{item.Receipt.ID, name})
		}
	}
	for book, places := range books {
		ids := make([]uuid.UUID, len(places))
		for i, p := range places {
			ids[i] = p.id
		}
		answers, err := j.ledger.Apply(t.Context(), book, ids...)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range places {
			j.judge(t, p.name, answers[i])
		}
	}
}

// judge has the model decide a request, unless it did before, and compares.
func (j *judged) judge(t *rapid.T, name string, answer ledger.Answer) {
	want, before := j.outcomes[name]
	if !before || want == modelParked {
		outcome, due := j.model.apply(j.asked[name])
		want = outcome
		j.outcomes[name] = outcome
		for _, payload := range due {
			j.due[dueName(t, payload)] = payload
		}
	}
	got := modelOutcome(answer.Outcome.Reason)
	switch {
	case answer.Fate == ledger.Parked:
		got = modelParked
	case answer.Fate != ledger.Decided:
		got = modelOutcome(answer.Fate)
	case answer.Outcome.Result == tasks.Applied:
		got = modelApplied
	}
	if got != want {
		t.Fatalf("%s %+v became %q (%s), the model says %q", name, j.asked[name], got, answer.Outcome.Detail+answer.Problem, want)
	}
}

// settle applies what batches made due, in the order of names, until nothing is. The channel pays or fails as fails says.
func (j *judged) settle(t *rapid.T, fails bool) {
	for {
		j.mu.Lock()
		bells := j.rung
		j.rung = nil
		j.mu.Unlock()
		rung := map[string]tasks.Bell{}
		orders := map[string]*tasks.RefundOrder{}
		for _, bell := range bells {
			payload, err := j.ledger.LoadPayload(t.Context(), bell.Book, bell.ID)
			if err != nil {
				t.Fatal(err)
			}
			name := dueName(t, payload)
			rung[name] = bell
			if order, ok := payload.(*tasks.RefundOrder); ok {
				orders[name] = order
			}
		}
		maps.DeleteFunc(j.due, func(name string, _ tasks.Payload) bool {
			outcome, decided := j.outcomes[name]
			return decided && outcome != modelParked // a refund that was asked again in the batch of its payment
		})
		names := slices.Sorted(maps.Keys(rung))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(j.due)), names); diff != "" {
			t.Fatalf("what is due (-model +system):\n%s", diff)
		}
		if len(names) == 0 {
			return
		}
		maps.Copy(j.asked, j.due)
		clear(j.due)
		for _, name := range names {
			answers, err := j.ledger.Apply(t.Context(), rung[name].Book, rung[name].ID)
			if err != nil {
				t.Fatal(err)
			}
			j.judge(t, name, answers[0])
			if order := orders[name]; order != nil {
				j.answer(t, order, fails)
			}
		}
	}
}

func (j *judged) answer(t *rapid.T, order *tasks.RefundOrder, fails bool) {
	result := &tasks.RefundResult{Number: order.Number, RefundID: order.RefundID, UserID: order.UserID, Channel: order.Channel,
		Amount: order.Amount, Result: tasks.RefundSucceeded, OccurredAt: order.OccurredAt}
	if fails {
		result.Result, result.Reason = tasks.RefundFailed, "account closed"
	}
	j.ask(t, result)
	if rapid.Bool().Draw(t, "the channel says that it has paid after all") {
		revision := tasks.RefundRevision(*result)
		revision.Result, revision.Reason = tasks.RefundSucceeded, ""
		j.ask(t, &revision)
	}
}

const ownAccountsSQL = `
SELECT name, sum(balance_fen)::bigint FROM accounts
WHERE starts_with(name, 'user/' || $1) OR starts_with(name, 'merchant/' || $1) OR starts_with(name, 'promotion/' || $1)
GROUP BY name`

const sharedAccountsSQL = `
SELECT CASE WHEN kind = 'interbook' THEN 'on its way' ELSE name END, sum(balance_fen)::bigint FROM accounts
WHERE kind IN ('channel_clearing', 'channel_refunding', 'suspense', 'interbook') GROUP BY 1`

func (j *judged) balances(t *rapid.T, sql string, args ...any) map[string]int64 {
	rows, err := j.db.Pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	balances := map[string]int64{}
	var name string
	var fen int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &fen}, func() error {
		balances[name] = fen
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return balances
}

// shared are the accounts that all sequences move money on.
func (j *judged) shared(t *rapid.T) map[string]int64 { return j.balances(t, sharedAccountsSQL) }

// expectBalances compares every account of the sequence.
func (j *judged) expectBalances(t *rapid.T) {
	system := j.shared(t)
	maps.Copy(system, j.balances(t, ownAccountsSQL, j.prefix))
	notZero := func(balances map[string]int64) map[string]int64 {
		kept := maps.Clone(balances)
		maps.DeleteFunc(kept, func(_ string, fen int64) bool { return fen == 0 })
		return kept
	}
	if diff := cmp.Diff(notZero(j.model.balances), notZero(system)); diff != "" {
		t.Fatalf("balances in fen (-model +books):\n%s", diff)
	}
}

// drawn draws requests of a sequence. Ids come from small sets: keys repeat with equal and with other contents, refunds come before
// their payments and ask too much, users name each other's orders, channels' payments are used twice.
type drawn struct {
	*rapid.T
	j     *judged
	night string
}

func (d drawn) id(what string, n int) string {
	return fmt.Sprint(d.j.prefix, what, rapid.IntRange(0, n).Draw(d.T, what))
}

func (d drawn) amount(label string, fenMax int64) money.Amount {
	return money.FromFen(rapid.Int64Range(1, fenMax).Draw(d.T, label))
}

func (d drawn) payload() tasks.Payload {
	user, noon := d.id("u", 5), ledgertest.Noon
	switch rapid.IntRange(0, 13).Draw(d.T, "kind") { // small numbers are drawn more often
	case 0, 1:
		return d.payment(user)
	case 2, 3, 4, 5, 6:
		order := d.id("o", 5)
		if payment, asked := d.j.asked["payment:capture "+order].(*tasks.Payment); asked && rapid.IntRange(0, 9).Draw(d.T, "stranger") > 0 {
			user = payment.UserID
		}
		return &tasks.Refund{RefundID: d.id("f", 60), OrderID: order, UserID: user, Amount: d.amount("refund", 900), OccurredAt: noon,
			To: rapid.SampledFrom([]tasks.RefundTarget{"", tasks.ToOrigin, tasks.ToBalance}).Draw(d.T, "to")}
	case 7, 8:
		return &tasks.Recharge{RechargeID: d.id("r", 30), UserID: user, Channel: rapid.SampledFrom(tasks.Channels()).Draw(d.T, "channel"),
			ChannelTxnID: d.id("t", 40), Amount: d.amount("recharge", 9000), OccurredAt: noon}
	case 13:
		return &tasks.Suspension{Channel: rapid.SampledFrom(tasks.Channels()).Draw(d.T, "channel"), ChannelTxnID: d.id("t", 40), OutTradeNo: d.id("n", 5),
			Amount: d.amount("suspended", 9000), Cause: tasks.UnknownOrder, OccurredAt: noon}
	case 9:
		return &tasks.Reward{RewardID: d.id("w", 20), UserID: user, CampaignID: d.j.prefix + "c", Amount: d.amount("reward", 3000), OccurredAt: noon}
	case 10:
		if other := d.id("u", 5); other != user {
			return &tasks.Transfer{TransferID: d.id("x", 20), FromUserID: user, ToUserID: other, Amount: d.amount("transfer", 3000),
				OccurredAt: noon.Add(time.Duration(rapid.IntRange(0, 1).Draw(d.T, "day")) * 12 * time.Hour)}
		}
		return &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: d.night}
	case 11:
		return &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: d.night}
	default:
		return &tasks.Enrolment{EnrolmentID: d.id("e", 8), UserID: user, ProductID: "xiaojinku", KeepAmount: d.amount("keep", 3000),
			ConsentVersion: "1", OccurredAt: noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(d.T, "consent")) * time.Minute)}
	}
}

// funds gives some of the users something to spend.
func (d drawn) funds() []tasks.Payload {
	var payloads []tasks.Payload
	for i := range 6 {
		user := fmt.Sprint(d.j.prefix, "u", i)
		if rapid.IntRange(0, 4).Draw(d.T, "funded") > 0 {
			payloads = append(payloads,
				&tasks.Recharge{RechargeID: user, UserID: user, Channel: tasks.SourceWeChat, ChannelTxnID: user, Amount: money.FromFen(3000), OccurredAt: ledgertest.Noon},
				&tasks.Reward{RewardID: user, UserID: user, CampaignID: d.j.prefix + "c", Amount: money.FromFen(1000), OccurredAt: ledgertest.Noon})
		}
	}
	return payloads
}

func (d drawn) payment(user string) *tasks.Payment {
	p := &tasks.Payment{OrderID: d.id("o", 5), UserID: user, MerchantID: d.id("m", 1), OccurredAt: ledgertest.Noon,
		BalanceExclusive: rapid.IntRange(0, 9).Draw(d.T, "exclusive") == 0}
	sources := append([]tasks.Source{tasks.SourceCash, tasks.SourceReward}, tasks.Channels()...)
	for _, source := range rapid.SliceOfNDistinct(rapid.SampledFrom(sources), 1, 4, rapid.ID).Draw(d.T, "legs") {
		leg := tasks.Leg{Source: source, Amount: d.amount("leg", 900)}
		if !source.IsBalance() && rapid.Bool().Draw(d.T, "with transaction") {
			leg.ChannelTxnID = d.id("t", 40)
		}
		p.Legs = append(p.Legs, leg)
	}
	return p
}

// The outcome of each request and the balance of each account are those of the model, whatever is asked, how often, in which order and
// in which batches. A failure prints the seed and the smallest sequence that rapid finds.
func TestRandomSequencesEndAsASimpleModelSays(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	rapid.Check(t, func(t *rapid.T) {
		j.begin(t, rapid.SampledFrom([]tasks.RefundSplit{tasks.Proportional, tasks.ExternalFirst, tasks.BalanceFirst}).Draw(t, "split"))
		night := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(j.nights.Add(1))).Format(time.DateOnly)
		d := drawn{T: t, j: j, night: night}
		if funds := d.funds(); len(funds) > 0 {
			j.ask(t, funds...)
		}
		for range rapid.IntRange(1, 12).Draw(t, "groups") {
			payloads := make([]tasks.Payload, rapid.IntRange(1, 8).Draw(t, "requests"))
			for i := range payloads {
				payloads[i] = d.payload()
			}
			j.ask(t, payloads...)
			j.settle(t, rapid.IntRange(0, 4).Draw(t, "channel") == 0)
		}
		j.expectBalances(t)
		parked := 0
		for _, outcome := range j.outcomes {
			if outcome == modelParked {
				parked++
			}
		}
		var waiting int
		if err := j.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pending p JOIN requests r ON r.book = p.book AND r.id = p.request_id
			WHERE p.state = 'parked' AND starts_with(r.key, $1)`, j.prefix).Scan(&waiting); err != nil || waiting != parked {
			t.Fatalf("%d refunds wait, the model says %d (%v)", waiting, parked, err)
		}
	})
}
