package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Checkout is the producer that opens recharge orders: what a channel's notices bring is accepted in its name.
const Checkout = "checkout"

// ChannelFaults are how the simulated channels misbehave: merchants hear of a payment twice, late, out of order and again.
var ChannelFaults = simulate.Faults{Duplicates: 100, Repeats: 100, Reorders: 100, Delays: 50, Probes: 50}

// ChannelTimeScale makes the channels' first pauses fractions of a second.
const ChannelTimeScale = 300

// Channels are where users pay recharges: the channels, simulated, and the API at which their orders are opened and which takes the
// channels' notices.
type Channels struct {
	API       string // its address
	Key       string // of Checkout, for recharge orders
	Client    *http.Client
	Simulator *simulate.Simulator
}

// pay opens the ask's recharge order and pays it as its user does. Any error but a *tasks.FieldError means that it is not known whether
// that was done; it may be done again.
func (c *Channels) pay(ctx context.Context, ask *Ask) (tasks.Receipt, error) {
	order := ask.RechargeOrder
	outTradeNo, err := c.open(ctx, order)
	if err != nil {
		return tasks.Receipt{}, fmt.Errorf("open recharge order %s: %w", order.RechargeID, err)
	}
	paid := simulate.Order{Channel: order.Channel, OutTradeNo: outTradeNo, Amount: order.Amount}
	suspension, wrong := ask.Payload.(*tasks.Suspension)
	if wrong {
		paid.Amount = suspension.Amount
	}
	receipt, err := c.Simulator.Pay(paid)
	if err != nil {
		return tasks.Receipt{}, fmt.Errorf("pay recharge order %s: %w", order.RechargeID, err)
	}
	if wrong { // such a payment is known by the channel's number alone
		suspension.ChannelTxnID = receipt.ChannelTxnID
		ask.Key = string(order.Channel) + "/" + receipt.ChannelTxnID
	}
	if receipt.Replayed {
		return tasks.Receipt{Status: tasks.Replayed}, nil
	}
	return tasks.Receipt{Status: tasks.Accepted}, nil
}

// open opens an order, or finds it, and returns the number that the channel is to know it by.
func (c *Channels) open(ctx context.Context, order *tasks.RechargeOrder) (outTradeNo string, err error) {
	body, err := json.Marshal(map[string]any{"recharge_id": order.RechargeID, "user_id": order.UserID, "channel": order.Channel,
		"amount": order.Amount})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.API+"/v1/recharge-orders", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.Key)
	response, err := c.Client.Do(request)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read; there is nothing to lose
	switch {
	case err != nil:
		return "", err
	case response.StatusCode >= http.StatusInternalServerError:
		return "", fmt.Errorf("answered %s", response.Status)
	case response.StatusCode >= http.StatusMultipleChoices:
		return "", &tasks.FieldError{Field: "order", Problem: "is answered with " + response.Status, Allowed: "what opens"}
	}
	var opened struct {
		OutTradeNo string `json:"out_trade_no"`
	}
	if err := json.Unmarshal(answer, &opened); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return opened.OutTradeNo, nil
}

// settle waits until the channels have nothing left to tell. Running out of patience is for the verdict to judge.
func (c *Channels) settle(ctx context.Context, timer clock.Timer, patience time.Duration) error {
	enough := timer.After(patience)
	for {
		changed := c.Simulator.Changed()
		if c.told().waiting == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// told is how far the channels are with telling.
type told struct{ payments, deliveries, waiting int }

func (c *Channels) told() told {
	var sum told
	for _, e := range c.Simulator.Record() {
		sum.payments++
		sum.deliveries += e.Deliveries
		if e.Notice == simulate.NoticeWaiting {
			sum.waiting++
		}
	}
	return sum
}

// paymentName is what a channel and its merchant both know a payment by.
type paymentName struct {
	channel tasks.Source
	txnID   string
}

func (n paymentName) String() string { return fmt.Sprintf("%s payment %s", n.channel, n.txnID) }

// Paid is a channel's payment as the books have it: how many applied requests booked it, and fen in all.
type Paid struct {
	Times int
	Fen   int64
}

// judgeChannels compares the channels' own record with the books: each payment is booked once, with what was paid, and no other is.
func (v *Verdict) judgeChannels(record []simulate.Entry, books *Books) {
	known := map[paymentName]bool{}
	for _, e := range record {
		name := paymentName{e.Channel, e.ChannelTxnID}
		known[name] = true
		booked := books.Payments[name]
		switch {
		case booked.Times == 0:
			v.lost("%s of %s is in the channel's record and in no book; its notice is %s", name, e.Amount, e.Notice)
		case booked.Times > 1:
			v.doubled("%s is booked %d times", name, booked.Times)
		case booked.Fen < e.Amount.Fen():
			v.lost("%s of %s is booked as %s", name, e.Amount, yuan(booked.Fen))
		case booked.Fen > e.Amount.Fen():
			v.doubled("%s of %s is booked as %s", name, e.Amount, yuan(booked.Fen))
		}
		if e.ProbesAcknowledged > 0 {
			v.doubled("%s was acknowledged by a message with a wrong signature", name)
		}
	}
	for name := range books.Payments {
		if !known[name] {
			v.doubled("%s is booked, and the channel does not know it", name)
		}
	}
	v.Counts.Payments = len(record)
}
