package roster_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// desk is a directory of settings, the simulated WeChat Pay that they are of, and a roster that a test makes look.
type desk struct {
	dir    string
	wechat *wechatsim.Channel
	roster *roster.Roster
	clock  *clock.Manual
	log    *records
}

// records keeps the text of a log that several goroutines write.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{dir: t.TempDir(), clock: clock.NewManual(noon), log: &records{}}
	var err error
	if d.wechat, err = wechatsim.New(d.clock); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) writeWeChat(t *testing.T) {
	t.Helper()
	if err := simulate.WriteSettings(d.dir, d.wechat, "https://wechat.invalid"); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) open(t *testing.T) {
	t.Helper()
	var err error
	if d.roster, err = roster.Open(d.dir, http.DefaultClient, slog.New(slog.NewTextHandler(d.log, nil))); err != nil {
		t.Fatal(err)
	}
}

// run runs the roster until the test ends.
func (d *desk) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.roster.Run(ctx, d.clock) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// look makes the roster look once, and returns when it has.
func (d *desk) look(t *testing.T) {
	t.Helper()
	for range 2 { // the wait after the look is the proof that it is over
		if err := d.clock.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(roster.Interval)
	}
	if err := d.clock.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

// paid is a notice that WeChat Pay signs now.
func (d *desk) paid(t *testing.T) simulate.Message {
	t.Helper()
	message, err := d.wechat.Notice(channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventPaid, OutTradeNo: "rc1",
		ChannelTxnID: "4200001", Amount: money.FromFen(100_00), OccurredAt: d.clock.Now()}, d.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// reads says whether the roster's WeChat Pay takes the message as genuine.
func (d *desk) reads(t *testing.T, message simulate.Message) bool {
	t.Helper()
	port, found := d.roster.Port(tasks.SourceWeChat)
	if !found {
		t.Fatal("the roster has no WeChat Pay")
	}
	_, err := port.ReadNotice(message.Header, message.Body, d.clock.Now())
	if err != nil && !errors.Is(err, channel.ErrNotGenuine) {
		t.Fatal(err)
	}
	return err == nil
}

func TestChannelsWhoseSettingsAreThereAreServed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.writeWeChat(t)
	d.open(t)
	if !d.reads(t, d.paid(t)) {
		t.Error("its own channel's notice is refused")
	}
	if _, found := d.roster.Port(tasks.SourceAlipay); found {
		t.Error("a channel without settings is served")
	}
	if _, found := d.roster.Port(tasks.SourceCash); found {
		t.Error("a source that is no channel is served")
	}
}

func TestKeysRotateWithoutARestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.writeWeChat(t)
	d.open(t)
	d.run(t)
	before := d.paid(t)
	if err := d.wechat.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := d.paid(t)
	if d.reads(t, after) {
		t.Error("a key is known that was never handed over")
	}
	d.writeWeChat(t)
	d.look(t)
	if !d.reads(t, after) || !d.reads(t, before) {
		t.Error("the old or the new key is refused")
	}
}

func TestChannelThatComesLaterIsServed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.open(t)
	d.run(t)
	refunder := d.roster.Refunders()[tasks.SourceWeChat]
	if _, err := refunder.Refund(t.Context(), tasks.RefundOrder{}); !errors.Is(err, roster.ErrNotConfigured) {
		t.Errorf("before: %v, want %v", err, roster.ErrNotConfigured)
	}
	if _, err := refunder.Query(t.Context(), tasks.RefundOrder{}); !errors.Is(err, roster.ErrNotConfigured) {
		t.Errorf("before: %v, want %v", err, roster.ErrNotConfigured)
	}
	d.writeWeChat(t)
	d.look(t)
	if !d.reads(t, d.paid(t)) {
		t.Error("its notice is refused")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := refunder.Query(ended, tasks.RefundOrder{Number: "rf1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("the same refunder, after: %v, want the port's %v", err, context.Canceled)
	}
}

func TestBrokenSettingsLeaveTheLastGoodOnes(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"settings cut off": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "wechat.json"), []byte(`{"mch_id":`), 0o600)
		},
		"settings gone": func(dir string) error { return os.Remove(filepath.Join(dir, "wechat.json")) },
		"a key cut off": func(dir string) error { return os.Truncate(filepath.Join(dir, "wechat", "apiclient_key.pem"), 100) },
		"all keys gone": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "wechat")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.writeWeChat(t)
			d.open(t)
			d.run(t)
			if err := spoil(d.dir); err != nil {
				t.Fatal(err)
			}
			d.look(t)
			d.look(t)
			if !d.reads(t, d.paid(t)) {
				t.Error("the last good settings are gone")
			}
			if got := strings.Count(d.log.String(), "refused"); got != 1 {
				t.Errorf("one broken version was logged %d times:\n%s", got, d.log)
			}
			d.expect(t, 1, 1, 1)
			d.writeWeChat(t)
			if err := d.wechat.Rotate(); err != nil {
				t.Fatal(err)
			}
			d.writeWeChat(t)
			d.look(t)
			if !d.reads(t, d.paid(t)) {
				t.Error("the mended settings are not loaded")
			}
			d.expect(t, 2, 1, 0)
		})
	}
}

// expect compares WeChat Pay's metrics.
func (d *desk) expect(t *testing.T, loaded, refused, stale float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(d.roster)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			if labels := series.GetLabel(); labels[0].GetValue() == string(tasks.SourceWeChat) {
				got[family.GetName()+labels[len(labels)-1].GetValue()] = series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
	}
	if got["settled_channel_settings_reloads_totalloaded"] != loaded || got["settled_channel_settings_reloads_totalrefused"] != refused ||
		got["settled_channel_settings_stalewechat"] != stale {
		t.Errorf("metrics %v, want loaded %v, refused %v, stale %v", got, loaded, refused, stale)
	}
	issued := noon.AddDate(5, 0, 0).Unix()
	if at := int64(got["settled_channel_certificate_expiry_timestamp_secondswechat"]); at < issued || at > issued+3600 {
		t.Errorf("certificates end at %v, want about %v", at, issued)
	}
}

func TestWrongDirectoriesAreRefusedByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, content string
		want          string
	}{
		"no directory":          {"", "", "no such file"},
		"no channel's settings": {"wechatpay.json", "{}", "wechatpay.json is no channel's settings; allowed: "},
		"a channel's are empty": {"wechat.json", "{}", "wechat.json: load WeChat Pay: mch_id is missing"},
		"a channel's are none":  {"wechat.json", "", "wechat.json"},
	} {
		dir := filepath.Join(t.TempDir(), "channels")
		if c.file != "" {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.want)
		}
	}
}

// Mounted secrets are links to a folder that is replaced as a whole.
func TestLinkedFilesAreFollowed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.writeWeChat(t)
	mounted, linked := d.dir, t.TempDir()
	for _, name := range []string{"wechat.json", "wechat"} {
		if err := os.Symlink(filepath.Join(mounted, name), filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}
	d.dir = linked
	d.open(t)
	d.run(t)
	if !d.reads(t, d.paid(t)) {
		t.Error("its notice is refused")
	}
	d.dir = mounted
	if err := d.wechat.Rotate(); err != nil {
		t.Fatal(err)
	}
	d.writeWeChat(t)
	d.look(t)
	if !d.reads(t, d.paid(t)) {
		t.Error("new keys behind the links were not seen")
	}
}

func TestMetricsFollowTheNamingRules(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.open(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(d.roster)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if series, err := testutil.GatherAndCount(registry); err != nil || series != 4*len(tasks.Channels()) {
		t.Errorf("%d series of %d channels, %v: some are missing at the start", series, len(tasks.Channels()), err)
	}
}
