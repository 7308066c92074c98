package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// productID is what idle balance is swept into; the default policy offers it.
const productID = "xiaojinku"

// The people of the story. Of however many books a demo has, they live in different ones.
const (
	lin = "lin"
	jun = "jun"
)

// storyRefundID is a refund whose number every simulated channel answers at once, and with success.
const storyRefundID = "return-1"

// step is one sentence of the story.
type step struct {
	sentence string
	ask      *Ask
	follows  []requestName // requests that settled asks of itself because of it, as they are to be told
	again    bool          // asked a second time on purpose
}

// story tells what happened to Lin the day before the demo's day.
type story struct {
	evening time.Time
	record  *Record
}

// steps are the story in order. Amounts are in fen.
func (s *story) steps() []step {
	o := &order{id: "order-1", userID: lin, merchantID: "bookshop", legs: []leg{{tasks.SourceCash, 80_00}, {tasks.SourceWeChat, 20_00}}}
	recharge := &Ask{Key: "recharge-1", Fate: FateApplied, Payload: &tasks.Recharge{RechargeID: "recharge-1", UserID: lin,
		Channel: tasks.SourceUnionPay, ChannelTxnID: "up-1", Amount: money.FromFen(100_00), OccurredAt: s.at(9)}}
	paidAt(recharge)
	recharge.move(channelHolder(tasks.SourceUnionPay), cashOf(lin), 100_00)
	reward := &Ask{Key: "reward-1", Fate: FateApplied, Payload: &tasks.Reward{RewardID: "reward-1", UserID: lin, CampaignID: "welcome",
		Amount: money.FromFen(5_00), OccurredAt: s.at(14)}}
	reward.move(promotionOf("welcome"), rewardOf(lin), 5_00)
	transfer := &Ask{Key: "transfer-1", Fate: FateApplied, Payload: &tasks.Transfer{TransferID: "transfer-1", FromUserID: lin,
		ToUserID: jun, Amount: money.FromFen(14_00), OccurredAt: s.at(16)}}
	transfer.move(cashOf(lin), cashOf(jun), 14_00)
	back := o.refund(storyRefundID, 30_00, s.at(12))
	answer := requestName{tasks.RefundAnswer, refund.Number(storyRefundID, 1)}
	tooMuch := o.refund("return-2", 80_00, s.at(13)).rejected(tasks.ExceedsRefundable)
	enrolment := enrol("enrolment-1", lin, 10_00, s.at(18))
	return []step{
		{sentence: "Lin recharges 100.00 from her bank card; UnionPay's signed notice says so.", ask: recharge},
		{sentence: "She buys a book for 100.00: 80.00 by balance, 20.00 by WeChat Pay.", ask: o.payment(s.at(10))},
		{sentence: "She returns part of it, 30.00: each way of paying gets its share; WeChat Pay answers.", ask: back,
			follows: []requestName{answer}},
		{sentence: "The shop, unsure, asks for the same refund again: nothing moves.", ask: back, again: true},
		{sentence: "It asks for 80.00 more, by mistake: the order has only 70.00 left.", ask: tooMuch},
		{sentence: "A campaign gives her 5.00 to spend.", ask: reward},
		{sentence: "She sends Jun 14.00. Jun's account is in another book, so it crosses between the two.", ask: transfer,
			follows: []requestName{{tasks.TransferReceive, "transfer-1"}}},
		{sentence: "She lets what is above 10.00 earn income at night.", ask: enrolment},
	}
}

func (s *story) at(hour int) time.Time {
	year, month, day := s.evening.In(clock.Shanghai).Date()
	return time.Date(year, month, day, hour, 0, 0, 0, clock.Shanghai)
}

// enrol asks to sweep what a user has above keep.
func enrol(id, userID string, keep int64, at time.Time) *Ask {
	return &Ask{Key: id, Fate: FateApplied, Payload: &tasks.Enrolment{EnrolmentID: id, UserID: userID, ProductID: productID,
		KeepAmount: money.FromFen(keep), ConsentVersion: "2026-01", OccurredAt: at}}
}

// tellStory plays the story through the client and the workers, and tells each step from the books.
func (r *run) tellStory(ctx context.Context) error {
	r.screen.title("One user's story")
	s := &story{evening: r.today.AddDate(0, 0, -1), record: r.record}
	steps := s.steps()
	for _, step := range steps {
		if err := r.tell(ctx, step); err != nil {
			return err
		}
	}
	date := clock.BusinessDate(s.evening)
	night := r.sweepAsk(date, map[string]int64{lin: 10_00})
	return r.tell(ctx, step{sentence: "At night the sweep takes all above it.", ask: night,
		follows: []requestName{{tasks.SweepChunk, fmt.Sprintf("%s/%s/%d/", productID, date, tasks.BookOf(lin, r.client.Books()))}}})
}

// tell plays one step and writes what became of it.
func (r *run) tell(ctx context.Context, step step) error {
	r.told++
	asked := &producers{client: r.client, channels: r.config.Channels, record: r.record, clock: r.clock}
	asked.ask(ctx, Turn{Ask: step.ask})
	if err := r.config.Channels.settle(ctx, r.clock, storyPatience); err != nil {
		return err
	}
	if err := untilDecided(ctx, r.pool, r.clock, storyPoll, storyPatience, nil); err != nil {
		return fmt.Errorf("tell the story: %w", err)
	}
	r.screen.line("")
	r.screen.line("%2d. %s", r.told, step.sentence)
	record, err := r.reader.Record(ctx, step.ask.Payload.Kind(), step.ask.Key)
	if err != nil {
		return err
	}
	r.screen.line("    %s", answer(step, record))
	if record.Outcome != nil && record.Outcome.Result == tasks.Rejected {
		r.screen.line("      %s", record.Outcome.Detail)
	}
	if !step.again {
		r.tellTransfers(record)
	}
	for _, follow := range step.follows {
		record, err := r.reader.Record(ctx, follow.Kind, follow.Key)
		if err != nil {
			return err
		}
		r.tellTransfers(record)
	}
	return r.tellBalances(ctx, step)
}

// answer says what the producer was told.
func answer(step step, record ledger.Record) string {
	what := fmt.Sprintf("%s %s", step.ask.Payload.Kind(), step.ask.Key)
	outcome := record.Outcome
	switch {
	case outcome == nil:
		return what + ": " + record.State
	case step.again:
		return what + ": replayed, the stored outcome is " + string(outcome.Result)
	case outcome.Result == tasks.Rejected:
		return what + ": rejected, " + string(outcome.Reason)
	default:
		return what + ": applied"
	}
}

func (r *run) tellTransfers(record ledger.Record) {
	for _, t := range record.Transfers {
		r.screen.line("      %-27s -> %-27s %10s", t.Debit, t.Credit, t.Amount)
	}
}

// tellBalances writes what the people of the step have.
func (r *run) tellBalances(ctx context.Context, step step) error {
	people := []string{lin}
	if step.ask.Payload.Kind() == tasks.TransferSend {
		people = append(people, jun)
	}
	for _, person := range people {
		balances, err := r.reader.Balances(ctx, person, time.Time{})
		if err != nil {
			return err
		}
		var has []string
		for _, b := range balances {
			name := strings.TrimPrefix(strings.TrimPrefix(string(b.Account), "user/"+person+"/"), "wealth/")
			has = append(has, name+" "+b.Balance.String())
		}
		r.screen.line("    %s has %s", strings.ToUpper(person[:1])+person[1:], strings.Join(has, " · "))
	}
	return nil
}

// A story's step takes milliseconds; a reader should not wait for the poll.
const (
	storyPoll     = 5 * time.Millisecond
	storyPatience = 30 * time.Second
)
