package channeltest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// CheckPrinting expects a channel to show a name and no secret, however it is printed, logged or encoded.
func CheckPrinting[Channel any](t *testing.T, c *Channel, name string, secrets []string) {
	t.Helper()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "channel", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "channel", c)
	texts := []string{string(Encode(t, c)), log.String(), fmt.Sprintf("%+v", struct{ C *Channel }{c})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, *c))
	}
	for _, text := range texts {
		if Shows(text, secrets) || !strings.Contains(text, name) {
			t.Errorf("shown: %.200s", text)
		}
	}
}
