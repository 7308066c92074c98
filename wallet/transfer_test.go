package wallet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

func transfer(t testing.TB, amount string) *tasks.Transfer {
	t.Helper()
	return &tasks.Transfer{TransferID: "tr1", FromUserID: "ada", ToUserID: "ben", Amount: yuan(t, amount), OccurredAt: occurredAt}
}

func TestTransferWithinABookOpensTheRecipientsAccount(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 50_00, notOpened).user("ben", notOpened, notOpened)
	d := f.decide(t, wallet.TransferSend(), transfer(t, "50.00"))
	wantMoves(t, d, move{"user/ada/cash", "user/ben/cash", "50.00"})
	if len(d.FollowUps) != 0 {
		t.Errorf("a transfer within a book asks for %v", d.FollowUps)
	}
	if got := f.Account(ledger.UserCash("ben")); !got.Exists() || got.Balance() != yuan(t, "50.00") {
		t.Errorf("recipient exists %v with %s, want 50.00", got.Exists(), got.Balance())
	}
}

func TestTransferOfMoreThanTheCashIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 49_99, 100_00).user("ben", 0, notOpened)
	wantReject(t, f.decide(t, wallet.TransferSend(), transfer(t, "50.00")), tasks.InsufficientFunds,
		"cash: needed 50.00, available 49.99")
}

func TestTransferFromAUserWithoutCashAccountIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", notOpened, 100_00).user("ben", 0, notOpened)
	wantReject(t, f.decide(t, wallet.TransferSend(), transfer(t, "50.00")), tasks.NoAccount, "the sender has no cash account")
}

func TestTransferToAnotherBookArrivesByAFollowUp(t *testing.T) {
	t.Parallel()
	const books = 7
	from, to := tasks.BookOf("ada", books), tasks.BookOf("ben", books)
	if from == to {
		t.Fatalf("ada and ben both live in book %d of %d", from, books)
	}
	here := fixture{ledger.NewState(from, books, tasks.DefaultPolicy())}.user("ada", 50_00, notOpened).user("ben", notOpened, notOpened)
	d := here.decide(t, wallet.TransferSend(), transfer(t, "20.00"))
	wantMoves(t, d, move{"user/ada/cash", ledger.Interbook(to), "20.00"})
	arrival := &tasks.TransferArrival{TransferID: "tr1", FromBook: from, ToUserID: "ben", Amount: yuan(t, "20.00"), OccurredAt: occurredAt}
	if diff := cmp.Diff([]tasks.Payload{arrival}, d.FollowUps); diff != "" {
		t.Fatalf("follow-ups (-want +got):\n%s", diff)
	}
	request, err := tasks.NewRequest(d.FollowUps[0], books, occurredAt)
	if err != nil || request.Book != to {
		t.Fatalf("the arrival goes to book %d (%v), want %d", request.Book, err, to)
	}

	there := fixture{ledger.NewState(to, books, tasks.DefaultPolicy())}.user("ben", notOpened, notOpened)
	wantMoves(t, there.decide(t, wallet.TransferReceive(), arrival), move{ledger.Interbook(from), "user/ben/cash", "20.00"})
}
