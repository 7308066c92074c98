package tasks

import (
	"fmt"

	"github.com/settled-dev/settled/money"
)

func (p *Payment) validate(c *fieldCheck) {
	c.id("order_id", p.OrderID)
	c.id("user_id", p.UserID)
	c.id("merchant_id", p.MerchantID)
	c.eventTime("occurred_at", p.OccurredAt)
	if len(p.Legs) == 0 || len(p.Legs) > LegsMax {
		c.refuse("legs", fmt.Sprintf("has %d entries", len(p.Legs)), fmt.Sprintf("1 to %d legs", LegsMax))
	}
	for i, leg := range p.Legs {
		p.validateLeg(c, i, leg)
	}
	if len(p.Lines) > linesMax {
		c.refuse("lines", fmt.Sprintf("has %d entries", len(p.Lines)), fmt.Sprintf("up to %d lines", linesMax))
	}
	if c.err == nil {
		p.validateLines(c)
	}
	c.inRange("legs", p.Total())
}

func (p *Payment) validateLeg(c *fieldCheck, i int, leg Leg) {
	field := func(name string) string { return fmt.Sprintf("legs[%d].%s", i, name) }
	oneOf(c, field("source"), leg.Source, append([]Source{SourceCash, SourceReward}, Channels()...)...)
	c.positive(field("amount"), leg.Amount)
	c.inRange(field("amount"), leg.Amount)
	c.optionalID(field("channel_txn_id"), leg.ChannelTxnID)
	if leg.Source.IsBalance() && leg.ChannelTxnID != "" {
		c.refuse(field("channel_txn_id"), "is given for a leg of the balance", "only for a leg of a channel")
	}
	for _, earlier := range p.Legs[:i] {
		if earlier.Source == leg.Source {
			c.refuse(field("source"), "is "+quote(string(leg.Source))+", as an earlier leg's", "each source once")
		}
	}
}

func (p *Payment) validateLines(c *fieldCheck) {
	if len(p.Lines) == 0 {
		return
	}
	var sum money.Amount
	seen := make(map[string]bool, len(p.Lines))
	for i, line := range p.Lines {
		field := func(name string) string { return fmt.Sprintf("lines[%d].%s", i, name) }
		c.id(field("line_id"), line.LineID)
		oneOf(c, field("kind"), line.Kind, Goods, Virtual, Shipping, Coupon)
		c.positive(field("amount"), line.Amount)
		c.inRange(field("amount"), line.Amount)
		if seen[line.LineID] {
			c.refuse(field("line_id"), "is "+quote(line.LineID)+", as an earlier line's", "each line once")
		}
		seen[line.LineID] = true
		if line.Kind == Coupon {
			sum = sum.Sub(line.Amount)
		} else {
			sum = sum.Add(line.Amount)
		}
	}
	if sum != p.Total() {
		c.refuse("lines", "add up to "+sum.String()+" (coupons lower the sum)", "the sum of the legs, "+p.Total().String())
	}
}

// Total is what the legs paid together.
func (p *Payment) Total() money.Amount {
	var total money.Amount
	for _, leg := range p.Legs {
		total = total.Add(leg.Amount)
	}
	return total
}

func (p *Refund) validate(c *fieldCheck) {
	c.id("refund_id", p.RefundID)
	c.id("order_id", p.OrderID)
	c.id("user_id", p.UserID)
	c.positive("amount", p.Amount)
	c.inRange("amount", p.Amount)
	oneOf(c, "to", p.To, ToOrigin, ToBalance, "")
	oneOf(c, "if_refused", p.IfRefused, FallBackToBalance, "")
	c.text("reason", p.Reason, false)
	c.eventTime("occurred_at", p.OccurredAt)
	if len(p.Lines) > linesMax {
		c.refuse("lines", fmt.Sprintf("has %d entries", len(p.Lines)), fmt.Sprintf("up to %d lines", linesMax))
	}
	if c.err == nil {
		p.validateLines(c)
	}
}

func (p *Refund) validateLines(c *fieldCheck) {
	if len(p.Lines) == 0 {
		return
	}
	var sum money.Amount
	seen := make(map[string]bool, len(p.Lines))
	for i, line := range p.Lines {
		field := func(name string) string { return fmt.Sprintf("lines[%d].%s", i, name) }
		c.id(field("line_id"), line.LineID)
		c.positive(field("amount"), line.Amount)
		c.inRange(field("amount"), line.Amount)
		if seen[line.LineID] {
			c.refuse(field("line_id"), "is "+quote(line.LineID)+", as an earlier line's", "each line once")
		}
		seen[line.LineID] = true
		sum = sum.Add(line.Amount)
	}
	if sum != p.Amount {
		c.refuse("lines", "add up to "+sum.String(), "the amount, "+p.Amount.String())
	}
}

func (p *Recharge) validate(c *fieldCheck) {
	c.id("recharge_id", p.RechargeID)
	c.id("user_id", p.UserID)
	oneOf(c, "channel", p.Channel, Channels()...)
	c.id("channel_txn_id", p.ChannelTxnID)
	c.positive("amount", p.Amount)
	c.inRange("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *Suspension) validate(c *fieldCheck) {
	oneOf(c, "channel", p.Channel, Channels()...)
	c.id("channel_txn_id", p.ChannelTxnID)
	c.text("out_trade_no", p.OutTradeNo, true)
	c.positive("amount", p.Amount)
	c.inRange("amount", p.Amount)
	oneOf(c, "cause", p.Cause, SuspensionCauses()...)
	c.optionalID("user_id", p.UserID)
	c.optionalID("recharge_id", p.RechargeID)
	if (p.UserID == "") != (p.RechargeID == "") {
		c.refuse("recharge_id", "is "+quote(p.RechargeID)+" with the user "+quote(p.UserID), "both of a known order, or neither")
	}
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *Reward) validate(c *fieldCheck) {
	c.id("reward_id", p.RewardID)
	c.id("user_id", p.UserID)
	c.id("campaign_id", p.CampaignID)
	c.positive("amount", p.Amount)
	c.inRange("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *Transfer) validate(c *fieldCheck) {
	c.id("transfer_id", p.TransferID)
	c.id("from_user_id", p.FromUserID)
	c.id("to_user_id", p.ToUserID)
	if p.FromUserID == p.ToUserID {
		c.refuse("to_user_id", "is the sender", "another user")
	}
	c.positive("amount", p.Amount)
	c.inRange("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *TransferArrival) validate(c *fieldCheck) {
	c.orCase("transfer_id", p.TransferID, p.CaseID)
	c.id("to_user_id", p.ToUserID)
	c.positive("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *Enrolment) validate(c *fieldCheck) {
	c.id("enrolment_id", p.EnrolmentID)
	c.id("user_id", p.UserID)
	c.id("product_id", p.ProductID)
	if p.KeepAmount.IsNegative() {
		c.refuse("keep_amount", "is "+p.KeepAmount.String(), "0.00 or more")
	}
	c.inRange("keep_amount", p.KeepAmount)
	c.text("consent_version", p.ConsentVersion, true)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *Sweep) validate(c *fieldCheck) {
	c.id("product_id", p.ProductID)
	c.date("business_date", p.BusinessDate)
}

func (p *SweepPart) validate(c *fieldCheck) {
	c.id("product_id", p.ProductID)
	c.date("business_date", p.BusinessDate)
	c.optionalID("after_user_id", p.AfterUserID)
}

func (p *RefundOrder) validate(c *fieldCheck) {
	c.id("number", p.Number)
	c.orCase("user_id", p.UserID, p.CaseID)
	oneOf(c, "channel", p.Channel, Channels()...)
	c.positive("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *RefundResult) validate(c *fieldCheck) {
	c.id("number", p.Number)
	c.orCase("user_id", p.UserID, p.CaseID)
	oneOf(c, "channel", p.Channel, Channels()...)
	oneOf(c, "result", p.Result, RefundSucceeded, RefundFailed)
	c.text("reason", p.Reason, false)
	c.positive("amount", p.Amount)
	c.eventTime("occurred_at", p.OccurredAt)
}

func (p *RefundRevision) validate(c *fieldCheck) {
	(*RefundResult)(p).validate(c)
	oneOf(c, "result", p.Result, RefundSucceeded)
}
