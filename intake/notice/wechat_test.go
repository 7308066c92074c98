package notice_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// signed gives the door a real WeChat Pay port, and returns the other side.
func signed(t *testing.T, d *door) *wechatsim.Channel {
	t.Helper()
	sim, err := wechatsim.New(d.clock)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings, err := sim.MerchantSettings(dir, "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	port, err := wechat.Load(dir, settings, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	d.ports[tasks.SourceWeChat] = port
	return sim
}

// deliver has a notice signed at the door's time, and returns the status of the answer.
func deliver(t *testing.T, d *door, sim *wechatsim.Channel, n channel.Notice) int {
	t.Helper()
	message, err := sim.Notice(n, d.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return d.send(t.Context(), "wechat", message.Header, bytes.NewReader(message.Body)).Code
}

func TestSignedPaymentOfWeChatPayEndsInTheBalance(t *testing.T) {
	t.Parallel()
	d := open(t)
	sim := signed(t, d)
	order := d.order(t, "rc1", "u1")
	n := paid(order, "4200001234202603021234567890")
	for _, signing := range []wechatsim.Signing{wechatsim.ByPublicKey, wechatsim.ByCertificate} { // a redelivery may be signed otherwise
		sim.SignWith(signing)
		n.MerchantID, n.AppID = "", ""
		if status := deliver(t, d, sim, n); status != http.StatusNoContent {
			t.Errorf("signed by %s: answered %d", signing, status)
		}
		d.clock.Advance(15 * time.Second)
	}
	d.expectCounted(t, map[string]int{"confirmed": 1, "replayed": 1})
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
}
