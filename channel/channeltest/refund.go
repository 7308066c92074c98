package channeltest

import (
	"errors"
	"testing"

	"github.com/settled-dev/settled/channel"
)

// CheckUnknown expects a call to have left it open what became of the refund: there is no answer, and an error that does not say that the
// channel has never heard of the number, and shows no secret.
func CheckUnknown(t testing.TB, call string, answer channel.RefundAnswer, err error, secrets []string) {
	t.Helper()
	if err == nil || errors.Is(err, channel.ErrUnknownNumber) || answer != (channel.RefundAnswer{}) || Shows(err.Error(), secrets) {
		t.Errorf("%s: %+v, %v", call, answer, err)
	}
}
