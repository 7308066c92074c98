package drill

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// A process is judged once it is known to have the new keys: it has loaded some since, or was started after they were there.
func TestOnlyRefusalsAfterTheNewKeysWereLoadedAreFound(t *testing.T) {
	t.Parallel()
	const rotatedAt = 1000
	type look struct{ started, loads, refused float64 }
	for name, c := range map[string]struct {
		looks []look
		found int
		told  int // refused in all
	}{
		"never":                                {[]look{{900, 1, 2}, {900, 2, 2}, {900, 2, 2}}, 0, 0},
		"until they were loaded":               {[]look{{900, 1, 3}, {900, 1, 5}, {900, 2, 6}, {900, 2, 6}, {900, 2, 6}}, 0, 4},
		"counted after they were loaded":       {[]look{{900, 2, 2}, {900, 2, 3}, {900, 2, 3}}, 0, 1},
		"although they were loaded":            {[]look{{900, 2, 2}, {900, 2, 2}, {900, 2, 3}, {900, 2, 5}}, 2, 3},
		"by a process that came soon after":    {[]look{{1001, 1, 1}, {1001, 1, 2}, {1001, 1, 3}, {1001, 2, 3}, {1001, 2, 3}}, 0, 3},
		"by one that came well after":          {[]look{{1003, 1, 1}, {1003, 1, 1}, {1003, 1, 2}}, 1, 2},
		"by the one after, and not the second": {[]look{{900, 2, 2}, {900, 2, 2}, {1009, 1, 0}, {1009, 1, 0}}, 0, 0},
	} {
		r := &rotation{rotated: map[tasks.Source]time.Time{tasks.SourceWeChat: time.Unix(rotatedAt, 0)}}
		watch := &keyWatch{process: 900, loads: 1, refused: 2}
		for _, at := range c.looks {
			r.judge(tasks.SourceWeChat, watch, keysSeen{started: at.started, loads: map[tasks.Source]float64{tasks.SourceWeChat: at.loads},
				refused: map[tasks.Source]float64{tasks.SourceWeChat: at.refused}})
		}
		report := &ChannelsReport{Mishaps: map[string]int{}}
		r.report(report)
		if len(report.Lost) != c.found || report.Refused != c.told {
			t.Errorf("%s: found %v, %d refused in all; want %d and %d", name, report.Lost, report.Refused, c.found, c.told)
		}
	}
}

func TestMetricsAreReadByTheirNames(t *testing.T) {
	t.Parallel()
	text := "# HELP process_start_time_seconds Start time.\nprocess_start_time_seconds 1.5e+09\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }))
	t.Cleanup(server.Close)
	r := &rotation{metrics: &door{base: server.URL, client: server.Client(), clock: clock.System}}
	if seen, err := r.look(t.Context()); err == nil {
		t.Errorf("of an API without channels %+v", seen)
	}
	text += "settled_channel_settings_reloads_total{channel=\"wechat\",result=\"loaded\"} 2\n" +
		"settled_channel_settings_reloads_total{channel=\"wechat\",result=\"refused\"} 9\n" +
		"settled_intake_notices_total{channel=\"wechat\",result=\"not_genuine\"} 3\n"
	seen, err := r.look(t.Context())
	if err != nil || seen.started != 1.5e9 || seen.loads[tasks.SourceWeChat] != 2 || seen.refused[tasks.SourceWeChat] != 3 {
		t.Errorf("%+v, %v", seen, err)
	}
}
