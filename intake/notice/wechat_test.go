package notice_test

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// signed is a real WeChat Pay port, and the other side of it.
func signed(t testing.TB, now clock.Clock) (*wechat.Channel, *wechatsim.Channel) {
	t.Helper()
	sim, err := wechatsim.New(now)
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
	return port, sim
}

// openSigned opens a door whose WeChat Pay is real.
func openSigned(t *testing.T) (*door, *wechatsim.Channel) {
	t.Helper()
	d := open(t)
	port, sim := signed(t, d.clock)
	d.ports[tasks.SourceWeChat] = port
	return d, sim
}

// word signs a notice at the door's time.
func word(t testing.TB, sim *wechatsim.Channel, n channel.Notice, now time.Time) simulate.Message {
	t.Helper()
	n.MerchantID, n.AppID = "", "" // WeChat Pay knows whose
	message, err := sim.Notice(n, now)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func (d *door) deliver(ctx context.Context, message simulate.Message) int {
	return d.send(ctx, "wechat", message.Header, bytes.NewReader(message.Body)).Code
}

func TestSignedPaymentOfWeChatPayEndsInTheBalance(t *testing.T) {
	t.Parallel()
	d, sim := openSigned(t)
	n := paid(d.order(t, "rc1", "u1"), "4200001234202603021234567890")
	for _, signing := range []wechatsim.Signing{wechatsim.ByPublicKey, wechatsim.ByCertificate} { // a redelivery may be signed otherwise
		sim.SignWith(signing)
		if status := d.deliver(t.Context(), word(t, sim, n, d.clock.Now())); status != http.StatusNoContent {
			t.Errorf("signed by %s: answered %d", signing, status)
		}
		d.clock.Advance(15 * time.Second)
	}
	d.expectCounted(t, map[string]int{"confirmed": 1, "replayed": 1})
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
}

func TestSignedEndsOfRefundsOfWeChatPayAreBookedAsItsQueriesAre(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]channel.RefundAnswer{"succeeded": succeeded, "abnormal": abnormal,
		"closed": {State: channel.RefundFailed, Reason: "CLOSED"}} {
		d, sim := openSigned(t)
		sent := d.sent(t)
		d.query(t, sent, end)
		if status := d.deliver(t.Context(), word(t, sim, ended(sent, end), d.clock.Now())); status != http.StatusNoContent {
			t.Errorf("%s: answered %d", name, status)
		}
		d.expectCounted(t, map[string]int{"replayed": 1})
		d.settle(t)
	}
}

// What is not signed like this, now, moves nothing, whichever part of it was changed.
func TestChangedMessagesOfWeChatPayAreRefused(t *testing.T) {
	t.Parallel()
	d, sim := openSigned(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	good := word(t, sim, n, d.clock.Now())
	refused := func(name string, message simulate.Message) {
		t.Helper()
		if status := d.deliver(t.Context(), message); status < http.StatusBadRequest {
			t.Errorf("%s: answered %d", name, status)
		}
	}
	for i := range good.Body {
		body := bytes.Clone(good.Body)
		body[i] ^= 1
		refused("a bit of the body", simulate.Message{Header: good.Header, Body: body})
	}
	other := word(t, sim, paid(d.order(t, "rc2", "u2"), "t2"), d.clock.Now())
	for _, name := range slices.Sorted(maps.Keys(good.Header)) {
		if name == "Content-Type" || name == "Wechatpay-Signature-Type" {
			continue // the one is not signed; the other has a default
		}
		header := good.Header.Clone()
		delete(header, name)
		refused("without "+name, simulate.Message{Header: header, Body: good.Body})
	}
	refused("another's signature", simulate.Message{Header: other.Header, Body: good.Body})
	probe, err := sim.Probe(n, d.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	refused("a probe", probe)
	if err := sim.Rotate(); err != nil {
		t.Fatal(err)
	}
	refused("a key that nobody knows", word(t, sim, n, d.clock.Now()))
	d.clock.Advance(5 * time.Minute)
	refused("an old signature", good)
	if n := d.stored(t); n != 0 {
		t.Errorf("%d requests are stored", n)
	}
}
