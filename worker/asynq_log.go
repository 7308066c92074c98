package worker

import (
	"fmt"
	"log/slog"
)

// asynqLog gives what asynq says about itself to slog. What asynq calls an error it tries again by itself: a warning. What a person
// must look at is told by metrics.
type asynqLog struct{ logger *slog.Logger }

// asynqSays is the constant message of all of asynq's lines.
const asynqSays = "asynq says"

// Debug implements asynq.Logger.
func (l asynqLog) Debug(args ...any) { l.logger.Debug(asynqSays, textOf(args)) }

// Info implements asynq.Logger.
func (l asynqLog) Info(args ...any) { l.logger.Info(asynqSays, textOf(args)) }

// Warn implements asynq.Logger.
func (l asynqLog) Warn(args ...any) { l.logger.Warn(asynqSays, textOf(args)) }

// Error implements asynq.Logger.
func (l asynqLog) Error(args ...any) { l.logger.Warn(asynqSays, textOf(args)) }

// Fatal implements asynq.Logger. asynq v0.26 never calls it; a library does not end our process.
func (l asynqLog) Fatal(args ...any) { l.logger.Warn(asynqSays, textOf(args)) }

func textOf(args []any) slog.Attr { return slog.String("text", fmt.Sprint(args...)) }
