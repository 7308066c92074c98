package wallet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

func leg(t testing.TB, source tasks.Source, amount string) tasks.Leg {
	t.Helper()
	l := tasks.Leg{Source: source, Amount: yuan(t, amount)}
	if !source.IsBalance() {
		l.ChannelTxnID = "t1"
	}
	return l
}

func payment(legs ...tasks.Leg) *tasks.Payment {
	return &tasks.Payment{OrderID: "o1", UserID: "ada", MerchantID: "shop", Legs: legs, OccurredAt: occurredAt}
}

func line(t testing.TB, id string, kind tasks.LineKind, amount string) tasks.Line {
	t.Helper()
	return tasks.Line{LineID: id, Kind: kind, Amount: yuan(t, amount)}
}

func TestCombinedPaymentIsCapturedLegByLegInTheGivenOrder(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 100_00, 10_00).payment(tasks.SourceWeChat, "t1", false)
	d := f.decide(t, wallet.PaymentCapture(),
		payment(leg(t, tasks.SourceReward, "10.00"), leg(t, tasks.SourceWeChat, "20.00"), leg(t, tasks.SourceCash, "70.00")))
	wantMoves(t, d,
		move{"user/ada/reward", "merchant/shop/payable", "10.00"},
		move{"channel/wechat/clearing", "merchant/shop/payable", "20.00"},
		move{"user/ada/cash", "merchant/shop/payable", "70.00"})
	if diff := cmp.Diff([]string{"payment:capture/o1"}, d.Wakes); diff != "" {
		t.Errorf("wakes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ledger.Receipt{{Channel: tasks.SourceWeChat, TxnID: "t1"}}, d.Receipts); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	want := &ledger.Order{ID: "o1", UserID: "ada", MerchantID: "shop", Legs: []ledger.Leg{
		{Source: tasks.SourceReward, Captured: yuan(t, "10.00")},
		{Source: tasks.SourceWeChat, ChannelTxnID: "t1", Captured: yuan(t, "20.00")},
		{Source: tasks.SourceCash, Captured: yuan(t, "70.00")},
	}}
	if diff := cmp.Diff([]*ledger.Order{want}, d.Orders); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestPaymentByChannelAloneNeedsNoAccount(t *testing.T) {
	t.Parallel()
	f := setup(1).payment(tasks.SourceWeChat, "t1", false)
	wantMoves(t, f.decide(t, wallet.PaymentCapture(), payment(leg(t, tasks.SourceWeChat, "20.00"))),
		move{"channel/wechat/clearing", "merchant/shop/payable", "20.00"})
}

func TestPaymentWithoutTheChannelsNumberLeavesNoReceipt(t *testing.T) {
	t.Parallel()
	d := setup(1).decide(t, wallet.PaymentCapture(), payment(tasks.Leg{Source: tasks.SourceECNY, Amount: yuan(t, "20.00")}))
	if !d.Applied() || len(d.Receipts) != 0 {
		t.Errorf("applied %v with receipts %v, want none", d.Applied(), d.Receipts)
	}
}

func TestPaymentsThatAreRefused(t *testing.T) {
	t.Parallel()
	cash, wechat := leg(t, tasks.SourceCash, "60.00"), leg(t, tasks.SourceWeChat, "40.00")
	exclusive := payment(cash, wechat)
	exclusive.BalanceExclusive = true
	lined := func(lines ...tasks.Line) *tasks.Payment {
		p := payment(cash, wechat)
		p.Lines = lines
		return p
	}
	rich := func() fixture { return setup(1).user("ada", 500_00, 500_00).payment(tasks.SourceWeChat, "t1", false) }
	for name, c := range map[string]struct {
		books   fixture
		payment *tasks.Payment
		reason  tasks.Reason
		detail  string
	}{
		"no account of any kind": {setup(1).user("ada", notOpened, notOpened), payment(cash), tasks.NoAccount,
			"the user has neither a cash nor a reward account"},
		"only the other bucket is open": {setup(1).user("ada", notOpened, 100_00), payment(cash), tasks.InsufficientFunds,
			"cash: needed 60.00, available 0.00"},
		"a fen too little cash": {setup(1).user("ada", 59_99, 100_00), payment(cash), tasks.InsufficientFunds,
			"cash: needed 60.00, available 59.99"},
		"the second leg has too little": {setup(1).user("ada", 500_00, 9_99), payment(cash, leg(t, tasks.SourceReward, "10.00")),
			tasks.InsufficientFunds, "reward: needed 10.00, available 9.99"},
		"the channel's payment was used": {setup(1).user("ada", 500_00, 0).payment(tasks.SourceWeChat, "t1", true),
			payment(cash, wechat), tasks.ChannelPaymentUsed, "wechat payment t1 has funded another request"},
		"a channel pays what is priced for balance": {rich(), exclusive, tasks.BalanceOnly,
			"channels pay 40.00 of an order that is priced for balance alone"},
		"balance pays more than the lines that take it": {rich(),
			lined(line(t, "l1", tasks.Goods, "59.99"), line(t, "l2", tasks.Virtual, "40.01")), tasks.ExcludedLines,
			"balance pays 60.00, of lines that take 59.99 of it"},
		"a coupon lowers the lines that take balance": {rich(), lined(line(t, "l1", tasks.Goods, "60.00"),
			line(t, "c", tasks.Coupon, "20.00"), line(t, "l2", tasks.Virtual, "60.00")), tasks.ExcludedLines,
			"balance pays 60.00, of lines that take 50.00 of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantReject(t, c.books.decide(t, wallet.PaymentCapture(), c.payment), c.reason, c.detail)
		})
	}
}

func TestMerchantThatTakesNoBalanceTakesChannels(t *testing.T) {
	t.Parallel()
	policy := tasks.DefaultPolicy()
	policy.MerchantsWithoutBalance = []string{"shop"}
	f := fixture{ledger.NewState(0, 1, policy)}.user("ada", 100_00, 0).payment(tasks.SourceWeChat, "t1", false)
	wantReject(t, f.decide(t, wallet.PaymentCapture(), payment(leg(t, tasks.SourceWeChat, "20.00"), leg(t, tasks.SourceCash, "1.00"))),
		tasks.MerchantTakesNone, "merchant shop takes no balance")
	wantMoves(t, f.decide(t, wallet.PaymentCapture(), payment(leg(t, tasks.SourceWeChat, "20.00"))),
		move{"channel/wechat/clearing", "merchant/shop/payable", "20.00"})
}

func TestOrderPricedForBalanceIsPaidByBothBuckets(t *testing.T) {
	t.Parallel()
	p := payment(leg(t, tasks.SourceCash, "60.00"), leg(t, tasks.SourceReward, "40.00"))
	p.BalanceExclusive = true
	if d := setup(1).user("ada", 60_00, 40_00).decide(t, wallet.PaymentCapture(), p); !d.Applied() {
		t.Errorf("rejected: %s: %s", d.Reason(), d.Detail())
	}
}

func TestLaterPaymentOfABatchSeesWhatTheEarlierOneTook(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 100_00, notOpened)
	first, second := payment(leg(t, tasks.SourceCash, "60.00")), payment(leg(t, tasks.SourceCash, "60.00"))
	second.OrderID = "o2"
	if d := f.decide(t, wallet.PaymentCapture(), first); !d.Applied() {
		t.Fatalf("rejected: %s", d.Reason())
	}
	wantReject(t, f.decide(t, wallet.PaymentCapture(), second), tasks.InsufficientFunds, "cash: needed 60.00, available 40.00")
}

// Virtual goods cannot be paid by balance, so the channel's 50.00 pay all of them and the rest of the goods.
func TestLinesAreAllocatedToTheLegsThatMayPayThem(t *testing.T) {
	t.Parallel()
	p := payment(leg(t, tasks.SourceCash, "50.00"), leg(t, tasks.SourceWeChat, "50.00"))
	p.Lines = []tasks.Line{line(t, "l1", tasks.Virtual, "40.00"), line(t, "l2", tasks.Goods, "60.00"),
		line(t, "l3", tasks.Shipping, "10.00"), line(t, "c", tasks.Coupon, "10.00")}
	d := setup(1).user("ada", 50_00, notOpened).payment(tasks.SourceWeChat, "t1", false).decide(t, wallet.PaymentCapture(), p)
	if !d.Applied() {
		t.Fatalf("rejected: %s: %s", d.Reason(), d.Detail())
	}
	// 100.00 were paid for 110.00: l1 36.36, l2 54.55, l3 9.09. WeChat's 13.64 beyond l1 go to l2 and l3 as 50.00 of cash do.
	zeros := func() []money.Amount { return make([]money.Amount, 2) }
	fen := func(cash, wechat int64) []money.Amount {
		return []money.Amount{money.FromFen(cash), money.FromFen(wechat)}
	}
	want := []ledger.Line{
		{ID: "l1", Kind: tasks.Virtual, Amount: yuan(t, "40.00"), Allocated: fen(0, 36_36), Refunded: zeros()},
		{ID: "l2", Kind: tasks.Goods, Amount: yuan(t, "60.00"), Allocated: fen(42_86, 11_69), Refunded: zeros()},
		{ID: "l3", Kind: tasks.Shipping, Amount: yuan(t, "10.00"), Allocated: fen(7_14, 1_95), Refunded: zeros()},
		{ID: "c", Kind: tasks.Coupon, Amount: yuan(t, "10.00"), Allocated: zeros(), Refunded: zeros()},
	}
	if diff := cmp.Diff(want, d.Orders[0].Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
