package refund_test

import (
	"testing"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

const year = 365 * 24 * time.Hour

func TestChannelIsNotAskedBeyondItsLimits(t *testing.T) {
	t.Parallel()
	const toChannel = "merchant/shop/payable -> channel/wechat/refunding 6.00"
	const toCash = "merchant/shop/payable -> user/ada/cash 6.00"
	for name, c := range map[string]struct {
		age       time.Duration
		asked     int
		fallback  tasks.RefundFallback
		moved     string
		sent      int
		cases     int
		toldAfter string
	}{
		"the last moment":               {year, 0, "", toChannel, 1, 0, ""},
		"day 366":                       {year + time.Second, 0, "", toChannel, 0, 1, "person (wechat takes refunds for 365 days)"},
		"day 366, with consent":         {year + time.Second, 0, tasks.FallBackToBalance, toCash, 0, 0, "cash (wechat takes refunds for 365 days)"},
		"the 50th refund":               {0, 49, "", toChannel, 1, 0, ""},
		"the 51st refund":               {0, 50, "", toChannel, 0, 1, "person (wechat takes 50 refunds of a payment)"},
		"the 51st refund, with consent": {0, 50, tasks.FallBackToBalance, toCash, 0, 0, "cash (wechat takes 50 refunds of a payment)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := order(leg(tasks.SourceWeChat, 20_00, 0))
			o.CapturedAt, o.Legs[0].Asked = occurredAt, c.asked
			s := setup(tasks.Proportional, o)
			s.PutTime(occurredAt.Add(c.age))
			p := refundOf(6_00)
			p.IfRefused = c.fallback
			d := decide(t, s, refund.Apply(), p)
			wantMoves(t, d, c.moved)
			if len(d.FollowUps) != c.sent || len(d.Cases) != c.cases || o.Legs[0].Asked != c.asked+c.sent {
				t.Errorf("sent %v, cases %v, asked %d times", d.FollowUps, d.Cases, o.Legs[0].Asked)
			}
			if want := "wechat 6.00 to " + c.toldAfter; c.toldAfter != "" && d.Detail() != want {
				t.Errorf("detail %q, want %q", d.Detail(), want)
			}
			for _, opened := range d.Cases {
				if opened.Kind != ledger.UnreturnableRefund || opened.Account != ledger.ChannelRefunding(tasks.SourceWeChat) ||
					opened.Amount != money.FromFen(6_00) {
					t.Errorf("case %+v", opened)
				}
			}
		})
	}
}

func TestConsentIsCarriedToTheChannelsAnswer(t *testing.T) {
	t.Parallel()
	p := refundOf(6_00)
	p.IfRefused = tasks.FallBackToBalance
	d := decide(t, setup(tasks.Proportional, order(leg(tasks.SourceWeChat, 20_00, 0))), refund.Apply(), p)
	if sent, ok := d.FollowUps[0].(*tasks.RefundOrder); !ok || !sent.Consented {
		t.Errorf("sent %+v, want it with consent", d.FollowUps[0])
	}
}
