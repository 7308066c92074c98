package channeltest

import (
	"errors"
	"testing"

	"github.com/settled-dev/settled/channel"
)

// CheckNothingKnown expects a question about a payment to have left everything open: there is no notice, and an error that says neither
// that the order is not paid nor that the channel has never heard of it, and shows no secret.
func CheckNothingKnown(t testing.TB, what string, notice channel.Notice, err error, secrets []string) {
	t.Helper()
	if err == nil || errors.Is(err, channel.ErrUnpaid) || errors.Is(err, channel.ErrUnknownNumber) || notice != (channel.Notice{}) ||
		Shows(err.Error(), secrets) {
		t.Errorf("payment, %s: %+v, %v", what, notice, err)
	}
}

// CheckPayment checks what holds of everything that a port returns of a payment: a notice of the order that was asked about, or an error and
// nothing else.
func CheckPayment(t testing.TB, order channel.PaymentOrder, notice channel.Notice, err error, secrets []string) {
	t.Helper()
	if err != nil {
		if notice != (channel.Notice{}) || Shows(err.Error(), secrets) {
			t.Errorf("%+v beside %v", notice, err)
		}
		return
	}
	paid := notice.Event == channel.EventPaid
	if !paid && notice.Event != channel.EventClosed || notice.OutTradeNo != order.OutTradeNo || notice.MerchantID == "" || notice.ID != "" ||
		paid != notice.Amount.IsPositive() || paid != (notice.ChannelTxnID != "") || paid && notice.OccurredAt.IsZero() ||
		notice.RefundNumber != "" || notice.Refund != (channel.RefundAnswer{}) || !notice.RefundedTotal.IsZero() {
		t.Errorf("read %+v", notice)
	}
}

// CheckUnknown expects a call to have left it open what became of the refund: there is no answer, and an error that does not say that the
// channel has never heard of the number, and shows no secret.
func CheckUnknown(t testing.TB, call string, answer channel.RefundAnswer, err error, secrets []string) {
	t.Helper()
	if err == nil || errors.Is(err, channel.ErrUnknownNumber) || answer != (channel.RefundAnswer{}) || Shows(err.Error(), secrets) {
		t.Errorf("%s: %+v, %v", call, answer, err)
	}
}
