package tasks_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// update writes golden files that are missing. It never changes one: a stored request and a waiting ring keep the text that they have,
// so what these files say must be read for ever. A new shape is a new file.
var update = flag.Bool("update", false, "write golden files that are missing")

// instant has microseconds, the finest that is kept.
var instant = time.Date(2026, 3, 2, 4, 5, 6, 123456000, time.UTC)

const caseID = "2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0"

// goldenPayloads by the name of their file: the kind, with a dash for its colon, and what is special.
func goldenPayloads() map[string]tasks.Payload {
	return map[string]tasks.Payload{
		"payment-capture.combined": &tasks.Payment{OrderID: "o1", UserID: "u1", MerchantID: "m1", OccurredAt: instant,
			Legs: []tasks.Leg{{Source: tasks.SourceCash, Amount: yuan("80.00")}, {Source: tasks.SourceReward, Amount: yuan("0.01")},
				{Source: tasks.SourceWeChat, Amount: yuan("19.99"), ChannelTxnID: "4200001"}},
			Lines: []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: yuan("90.00")}, {LineID: "l2", Kind: tasks.Virtual, Amount: yuan("10.00")},
				{LineID: "l3", Kind: tasks.Shipping, Amount: yuan("6.00")}, {LineID: "l4", Kind: tasks.Coupon, Amount: yuan("6.00")}}},
		"payment-capture.exclusive": &tasks.Payment{OrderID: "o2", UserID: "u1", MerchantID: "m1", BalanceExclusive: true,
			Legs: []tasks.Leg{{Source: tasks.SourceCash, Amount: yuan("1.50")}}, OccurredAt: instant.Truncate(time.Second)},
		"payment-capture.channels": &tasks.Payment{OrderID: "A-z_0.9:@", UserID: "u1", MerchantID: "m1", OccurredAt: instant,
			Legs: []tasks.Leg{{Source: tasks.SourceAlipay, Amount: yuan("1.00")}, {Source: tasks.SourceUnionPay, Amount: yuan("2.00")},
				{Source: tasks.SourceECNY, Amount: yuan("100000000.00")}}},
		"refund-apply.plain": &tasks.Refund{RefundID: "rf1", OrderID: "o1", UserID: "u1", Amount: yuan("30.00"), OccurredAt: instant},
		"refund-apply.lines": &tasks.Refund{RefundID: "rf2", OrderID: "o1", UserID: "u1", Amount: yuan("30.00"), To: tasks.ToBalance,
			Reason: "七天无理由 <7 days> & \"quotes\"", OccurredAt: instant,
			Lines: []tasks.LineRefund{{LineID: "l1", Amount: yuan("29.99")}, {LineID: "l2", Amount: yuan("0.01")}}},
		"refund-apply.fallback": &tasks.Refund{RefundID: "rf4", OrderID: "o1", UserID: "u1", Amount: yuan("30.00"),
			IfRefused: tasks.FallBackToBalance, OccurredAt: instant},
		"refund-apply.origin": &tasks.Refund{RefundID: "rf3", OrderID: "o1", UserID: "u1", Amount: yuan("0.01"), To: tasks.ToOrigin, OccurredAt: instant},
		"recharge-confirm": &tasks.Recharge{RechargeID: "rc1", UserID: "u1", Channel: tasks.SourceUnionPay, ChannelTxnID: "up1",
			Amount: yuan("100.00"), OccurredAt: instant},
		"recharge-suspend.unknown": &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "4200001", OutTradeNo: "no|such*number",
			Amount: yuan("100.00"), Cause: tasks.UnknownOrder, OccurredAt: instant},
		"recharge-suspend.known": &tasks.Suspension{Channel: tasks.SourceAlipay, ChannelTxnID: "2026030222001", OutTradeNo: "RC0123456789ABCDEFGHIJKLMNOP",
			Amount: yuan("0.01"), Cause: tasks.SecondPayment, UserID: "u1", RechargeID: "rc1", OccurredAt: instant},
		"reward-grant":  &tasks.Reward{RewardID: "rw1", UserID: "u1", CampaignID: "c1", Amount: yuan("5.00"), OccurredAt: instant},
		"transfer-send": &tasks.Transfer{TransferID: "t1", FromUserID: "u1", ToUserID: "u2", Amount: yuan("10.00"), OccurredAt: instant},
		"wealth-enrol": &tasks.Enrolment{EnrolmentID: "e1", UserID: "u1", ProductID: "xiaojinku", KeepAmount: yuan("0.00"),
			ConsentVersion: "2026-01 第一版", OccurredAt: instant},
		"case-credit":           &tasks.CaseCredit{CaseID: caseID, UserID: "u1", By: "ada", Note: "客户来电 <hers>"},
		"case-return":           &tasks.CaseReturn{CaseID: caseID, By: "ada", Note: "paid twice"},
		"case-close":            &tasks.CaseClosing{CaseID: caseID, Statement: tasks.PaidAtChannel, By: "ada", Note: "looked up"},
		"transfer-receive.case": &tasks.TransferArrival{CaseID: caseID, FromBook: 2, ToUserID: "u2", Amount: yuan("10.00"), OccurredAt: instant},
		"refund-send.case": &tasks.RefundOrder{Number: "rc0123456789abcdef0123456789abcd", CaseID: caseID, Channel: tasks.SourceWeChat,
			ChannelTxnID: "4200001", Captured: yuan("10.00"), Amount: yuan("10.00"), OccurredAt: instant},
		"refund-answer.case": &tasks.RefundResult{Number: "rc0123456789abcdef0123456789abcd", CaseID: caseID, Channel: tasks.SourceWeChat,
			Amount: yuan("10.00"), Result: tasks.RefundFailed, Reason: "closed", OccurredAt: instant},
		"sweep-run": &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"},

		"transfer-receive":  &tasks.TransferArrival{TransferID: "t1", FromBook: 3, ToUserID: "u2", Amount: yuan("10.00"), OccurredAt: instant},
		"sweep-chunk.first": &tasks.SweepPart{ProductID: "xiaojinku", BusinessDate: "2026-03-02", Book: 0},
		"sweep-chunk.later": &tasks.SweepPart{ProductID: "xiaojinku", BusinessDate: "2026-03-02", Book: 3, AfterUserID: "u77"},
		"refund-send": &tasks.RefundOrder{Number: "rf0123456789abcdef0123456789abcd", RefundID: "rf1", OrderID: "o1", UserID: "u1", Leg: 2,
			Channel: tasks.SourceWeChat, ChannelTxnID: "4200001", Captured: yuan("19.99"), Amount: yuan("6.00"), OccurredAt: instant},
		"refund-answer.succeeded": &tasks.RefundResult{Number: "rf0123456789abcdef0123456789abcd", RefundID: "rf1", UserID: "u1",
			Channel: tasks.SourceWeChat, Amount: yuan("6.00"), Result: tasks.RefundSucceeded, OccurredAt: instant},
		"refund-answer.failed": &tasks.RefundResult{Number: "rf0123456789abcdef0123456789abce", RefundID: "rf1", UserID: "u1",
			Channel: tasks.SourceECNY, Amount: yuan("6.00"), Result: tasks.RefundFailed, Consented: true, Reason: "账户已注销", OccurredAt: instant},
		"refund-revise": &tasks.RefundRevision{Number: "rf0123456789abcdef0123456789abce", RefundID: "rf1", UserID: "u1",
			Channel: tasks.SourceECNY, Amount: yuan("6.00"), Result: tasks.RefundSucceeded, Consented: true, OccurredAt: instant},
	}
}

func yuan(s string) money.Amount {
	amount, err := money.Parse(s)
	if err != nil {
		panic(err)
	}
	return amount
}

// golden compares text with a file, or writes the file when it is missing and -update is given.
func golden(t *testing.T, path string, text []byte) {
	t.Helper()
	want, err := os.ReadFile(path)
	if os.IsNotExist(err) && *update {
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v; a new shape needs a file of its own: run with -update", err)
	}
	if diff := cmp.Diff(strings.TrimSuffix(string(want), "\n"), string(text)); diff != "" {
		t.Errorf("%s is wire format and cannot change (-file +now):\n%s", path, diff)
	}
}

func kindOfFile(name string) tasks.Kind {
	kind, _, _ := strings.Cut(name, ".")
	return tasks.Kind(strings.Replace(kind, "-", ":", 1))
}

func TestPayloadsAreWrittenAsTheyAlwaysWere(t *testing.T) {
	t.Parallel()
	written := map[tasks.Kind]bool{}
	for name, payload := range goldenPayloads() {
		request, err := tasks.NewRequest(payload, 4, instant)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if request.Kind != kindOfFile(name) {
			t.Errorf("%s holds a %s", name, request.Kind)
		}
		written[request.Kind] = true
		golden(t, filepath.Join("testdata", "wire", name+".json"), request.Payload)
	}
	for _, kind := range tasks.Kinds() {
		if !written[kind] {
			t.Errorf("%s has no golden file", kind)
		}
	}
}

// Files that no value above makes any more are older shapes. They are read all the same.
func TestEveryGoldenPayloadIsRead(t *testing.T) {
	t.Parallel()
	known := goldenPayloads()
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "*.json"))
	if err != nil || len(files) < len(known) {
		t.Fatalf("%d golden files, want at least %d (%v)", len(files), len(known), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		parsed, err := tasks.ParsePayload(kindOfFile(name), raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		decoded, err := tasks.DecodePayload(kindOfFile(name), raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		compareAmounts := cmp.Comparer(func(a, b money.Amount) bool { return a == b })
		if diff := cmp.Diff(parsed, decoded, compareAmounts); diff != "" {
			t.Errorf("%s is parsed and decoded differently (-parsed +decoded):\n%s", file, diff)
		}
		if want, ok := known[name]; ok {
			if diff := cmp.Diff(want, parsed, compareAmounts); diff != "" {
				t.Errorf("%s is read as something else (-want +got):\n%s", file, diff)
			}
		}
	}
}

var ringIDs = []uuid.UUID{
	uuid.MustParse("01956a3c-0000-7000-8000-000000000001"), uuid.MustParse("01956a3c-0000-7000-8000-000000000002"),
}

func TestRingsAreWrittenAndReadAsTheyAlwaysWere(t *testing.T) {
	t.Parallel()
	for name, ring := range map[string]tasks.Ring{
		"v1":       {Kind: tasks.RefundApply, Book: 3, IDs: ringIDs},
		"v1-again": {Kind: tasks.PaymentCapture, Book: 0, IDs: ringIDs[:1], Again: true},
	} {
		task, err := ring.Task()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "ring", name+".json")
		golden(t, path, task.Payload())
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		read, err := tasks.ParseRing(string(ring.Kind), raw)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if diff := cmp.Diff(ring, read); diff != "" {
			t.Errorf("%s is read as something else (-want +got):\n%s", path, diff)
		}
	}
}

// A ring names requests: what it would need to move money is not in it.
func TestRingCarriesNoAmountAndNoOwner(t *testing.T) {
	t.Parallel()
	task, err := tasks.Ring{Kind: tasks.RefundApply, Book: 3, IDs: ringIDs}.Task()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(task.Payload(), &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if name != "v" && name != "book" && name != "ids" && name != "again" {
			t.Errorf("a ring has the field %q", name)
		}
	}
}
