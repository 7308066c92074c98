package telemetry_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/telemetry"
)

func TestLoggerWritesItsLevelAndAbove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config telemetry.LogConfig
		want   string
	}{
		{telemetry.LogConfig{}, "level=INFO msg=moved kind=refund:apply\n"},
		{telemetry.LogConfig{Level: "warn"}, ""},
		{telemetry.LogConfig{Level: "debug", Format: "json"}, `"level":"INFO","msg":"moved","kind":"refund:apply"}` + "\n"},
	} {
		var out strings.Builder
		logger, err := telemetry.NewLogger(&out, c.config)
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("moved", slog.String("kind", "refund:apply"))
		if !strings.HasSuffix(out.String(), c.want) || (out.Len() == 0) != (c.want == "") {
			t.Errorf("%+v: wrote %q, want %q", c.config, out.String(), c.want)
		}
	}
}

func TestLoggerRefusesUnknownSettings(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]telemetry.LogConfig{
		`log level is "loud"; allowed: debug, info, warn, error`: {Level: "loud"},
		`log format is "xml"; allowed: text, json`:               {Format: "xml"},
	} {
		if _, err := telemetry.NewLogger(&strings.Builder{}, config); err == nil || err.Error() != want {
			t.Errorf("%+v: error %v, want %s", config, err, want)
		}
	}
}
