package tasks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestPayloadsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		kind        tasks.Kind
		old, new    string
		field, says string
	}{
		{"unknown source", tasks.PaymentCapture, `"cash"`, `"bitcoin"`, "legs[0].source", `is "bitcoin"`},
		{"source in capitals", tasks.PaymentCapture, `"cash"`, `"Cash"`, "legs[0].source", `is "Cash"`},
		{"a source twice", tasks.PaymentCapture, `"wechat"`, `"cash"`, "legs[1].channel_txn_id", "leg of the balance"},
		{"a channel twice", tasks.PaymentCapture, `"cash","amount"`, `"wechat","amount"`, "legs[1].source", "as an earlier leg's"},
		{"a transaction of the balance", tasks.PaymentCapture, `"amount":"8.00"`, `"amount":"8.00","channel_txn_id":"x"`, "legs[0].channel_txn_id", "leg of the balance"},
		{"unknown kind of line", tasks.PaymentCapture, `"goods"`, `"service"`, "lines[0].kind", `is "service"`},
		{"a line twice", tasks.PaymentCapture, `"l2"`, `"l1"`, "lines[1].line_id", "as an earlier line's"},
		{"lines that do not add up", tasks.PaymentCapture, `"12.00"`, `"12.01"`, "lines", "add up to 10.01"},
		{"a coupon that is added", tasks.PaymentCapture, `"coupon"`, `"shipping"`, "lines", "add up to 14.00"},
		{"refund lines that do not add up", tasks.RefundApply, `"l1","amount":"3.00"`, `"l1","amount":"2.99"`, "lines", "add up to 2.99"},
		{"a refund line twice", tasks.RefundApply, `[{"line_id":"l1","amount":"3.00"}]`, `[{"line_id":"l1","amount":"1.00"},{"line_id":"l1","amount":"2.00"}]`, "lines[1].line_id", "as an earlier line's"},
		{"unknown target", tasks.RefundApply, `"origin"`, `"bank"`, "to", `is "bank"`},
		{"a long reason", tasks.RefundApply, `"late"`, `"` + strings.Repeat("x", 201) + `"`, "reason", "has 201 bytes"},
		{"a control character in a reason", tasks.RefundApply, `"late"`, `"la\u0000te"`, "reason", "control character"},
		{"a C1 control character in a reason", tasks.RefundApply, `"late"`, `"la\u0085te"`, "reason", "control character"},
		{"a balance that recharges", tasks.RechargeConfirm, `"wechat"`, `"cash"`, "channel", `is "cash"`},
		{"a balance that is suspended", tasks.RechargeSuspend, `"wechat"`, `"cash"`, "channel", `is "cash"`},
		{"an unknown cause", tasks.RechargeSuspend, `"wrong_amount"`, `"lost"`, "cause", `is "lost"`},
		{"a suspension without an order's number", tasks.RechargeSuspend, `"RC1"`, `""`, "out_trade_no", "is missing"},
		{"a control character in an order's number", tasks.RechargeSuspend, `"RC1"`, `"RC\u00001"`, "out_trade_no", "control character"},
		{"a suspension of a user without an order", tasks.RechargeSuspend, `"recharge_id":"rc1",`, ``, "recharge_id", `is "" with the user "u1"`},
		{"a suspension of an order without a user", tasks.RechargeSuspend, `"user_id":"u1",`, ``, "recharge_id", `is "rc1" with the user ""`},
		{"a transfer to oneself", tasks.TransferSend, `"u2"`, `"u1"`, "to_user_id", "is the sender"},
		{"a negative keep amount", tasks.WealthEnrol, `"10.00"`, `"-0.01"`, "keep_amount", "is -0.01"},
		{"no consent version", tasks.WealthEnrol, `"consent_version":"1"`, `"consent_version":""`, "consent_version", "is missing"},
		{"a date that is none", tasks.SweepRun, `"2026-03-02"`, `"2026-02-29"`, "business_date", "2026-02-29"},
		{"a date with a time", tasks.SweepRun, `"2026-03-02"`, `"2026-03-02T00:00:00Z"`, "business_date", "2026-03-02T"},
		{"a date without zeros", tasks.SweepRun, `"2026-03-02"`, `"2026-3-2"`, "business_date", "2026-3-2"},
		{"a date of another century", tasks.SweepRun, `"2026-03-02"`, `"1999-12-31"`, "business_date", "1999-12-31"},
		{"a time without a zone", tasks.RewardGrant, `"2026-03-02T12:00:00+08:00"`, `"2026-03-02T12:00:00"`, "occurred_at", "2026-03-02T12:00:00"},
		{"a time that is a number", tasks.RewardGrant, `"2026-03-02T12:00:00+08:00"`, `1772424000`, "occurred_at", "the JSON number"},
		{"a time before digital payments", tasks.RewardGrant, `"2026-03-02T12:00:00+08:00"`, `"1999-12-31T23:59:59Z"`, "occurred_at", "is 1999"},
		{"a time of a broken clock", tasks.RewardGrant, `"2026-03-02T12:00:00+08:00"`, `"2100-01-01T00:00:00Z"`, "occurred_at", "is 2100"},
		{"the 30th of February", tasks.RewardGrant, `"2026-03-02T12:00:00+08:00"`, `"2026-02-30T12:00:00Z"`, "occurred_at", "2026-02-30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := tasks.ParsePayload(c.kind, []byte(put(t, goodPayloads[c.kind], c.old, c.new)))
			expectRefusal(t, err, c.field, c.says)
		})
	}
}

func TestRefusedChoiceNamesTheOthers(t *testing.T) {
	t.Parallel()
	_, err := tasks.ParsePayload(tasks.RefundApply, []byte(put(t, goodPayloads[tasks.RefundApply], `"origin"`, `"bank"`)))
	if err == nil || err.Error() != `to is "bank"; allowed: origin, balance, no such field` {
		t.Error(err)
	}
}

// What a Go producer builds is held to the same rules as what comes over the wire.
func TestPayloadsBuiltInGoAreHeldToTheSameRules(t *testing.T) {
	t.Parallel()
	good := func() *tasks.Payment {
		return &tasks.Payment{OrderID: "o1", UserID: "u1", MerchantID: "m1", OccurredAt: instant,
			Legs: []tasks.Leg{{Source: tasks.SourceCash, Amount: yuan("1.00")}}}
	}
	if _, err := tasks.NewRequest(good(), 4, instant); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*tasks.Payment){
		"legs[0].amount": func(p *tasks.Payment) { p.Legs[0].Amount = money.FromFen(money.MaxFen + 1) },
		"order_id":       func(p *tasks.Payment) { p.OrderID = "a/b" },
		"occurred_at":    func(p *tasks.Payment) { p.OccurredAt = time.Time{} },
		"legs":           func(p *tasks.Payment) { p.Legs = nil },
		"lines":          func(p *tasks.Payment) { p.Lines = make([]tasks.Line, 201) },
		"user_id":        func(p *tasks.Payment) { p.UserID = "u\xff" },
	} {
		p := good()
		spoil(p)
		_, err := tasks.NewRequest(p, 4, instant)
		expectRefusal(t, err, field, "")
	}
	// Legs that are each in range may not add up to more than an amount can be.
	p := good()
	p.Legs = []tasks.Leg{{Source: tasks.SourceCash, Amount: money.FromFen(money.MaxFen)}, {Source: tasks.SourceWeChat, Amount: money.FromFen(1)}}
	_, err := tasks.NewRequest(p, 4, instant)
	expectRefusal(t, err, "legs", "too large")
}

func TestKindsThatProducersMayNotAskForAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "refund", "refund:", "refund:apply ", "Refund:apply", "refund:send", "refund:answer", "refund:revise",
		"recharge:suspend", "transfer:receive", "sweep:chunk", "refund:apply\x00", strings.Repeat("x", 1<<20)} {
		_, err := tasks.ParseKind(text)
		expectRefusal(t, err, "kind", "not a kind that producers may ask for")
	}
	for _, kind := range tasks.Kinds() {
		if got, err := tasks.ParseKind(string(kind)); !kind.Internal() && (got != kind || err != nil) {
			t.Errorf("%s: %s, %v", kind, got, err)
		}
	}
}

func TestSuspensionLivesWithTheOrdersUserAndElseWithItsNumber(t *testing.T) {
	t.Parallel()
	for _, p := range []*tasks.Suspension{
		{OutTradeNo: "RC1", UserID: "u3", RechargeID: "rc1", Cause: tasks.ClosedOrder}, {OutTradeNo: "u3", Cause: tasks.UnknownOrder},
	} {
		p.Channel, p.ChannelTxnID, p.Amount, p.OccurredAt = tasks.SourceECNY, "t1", yuan("1.00"), instant
		request, err := tasks.NewRequest(p, 4, instant)
		if err != nil || request.Book != tasks.BookOf("u3", 4) || request.Key != "ecny/t1" {
			t.Errorf("%+v: key %q in book %d, %v", p, request.Key, request.Book, err)
		}
	}
}

func TestUserLivesInTheSameBookForEver(t *testing.T) {
	t.Parallel()
	// Changing one of these moves users away from their money.
	for user, book := range map[string]int{"u1": 2, "u2": 3, "u3": 0, "ada": 2, "u:1@x-y_z.9": 0} {
		if got := tasks.BookOf(user, 4); got != book {
			t.Errorf("%s lives in book %d of 4, want %d", user, got, book)
		}
	}
	counts := make([]int, 4)
	for i := range 10_000 {
		counts[tasks.BookOf("user"+string(rune('a'+i%26))+strings.Repeat("x", i%40)+time.Unix(int64(i), 0).UTC().String(), 4)]++
	}
	for book, n := range counts {
		if n < 2_300 || n > 2_700 {
			t.Errorf("book %d has %d of 10,000 users", book, n)
		}
	}
}
