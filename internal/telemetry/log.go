package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogConfig says how a process logs.
type LogConfig struct {
	// Level is the least severe level that is written: debug, info, warn or error. Defaults to info.
	Level string
	// Format is text, for people, or json, for collectors. Defaults to text.
	Format string
}

// NewLogger makes a logger that writes lines to w. The caller names the setting in which an error's value stands.
func NewLogger(w io.Writer, config LogConfig) (*slog.Logger, error) {
	level := slog.LevelInfo
	switch strings.ToLower(config.Level) {
	case "", "info":
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, fmt.Errorf("log level is %q; allowed: debug, info, warn, error", config.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch strings.ToLower(config.Format) {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log format is %q; allowed: text, json", config.Format)
	}
}
