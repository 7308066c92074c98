package worker

import "strings"

// script is one of the Lua scripts that an asynq server runs, told by the shape of its keys: asynq does not export their hashes.
// The shapes are pinned by TestScriptsOfAsynqAreTold.
type script string

// The scripts of a server: a closed set, because it labels a metric.
const (
	scriptDequeue   script = "dequeue"
	scriptDone      script = "done"
	scriptComplete  script = "complete"
	scriptRetry     script = "retry"
	scriptArchive   script = "archive"
	scriptRequeue   script = "requeue"
	scriptForward   script = "forward"
	scriptRecover   script = "recover"
	scriptJanitor   script = "janitor"
	scriptHeartbeat script = "heartbeat"
	scriptOther     script = "other"
)

// scriptOf tells a script by its keys.
func scriptOf(keys []string) script {
	at := func(i int, suffix string) bool { return i < len(keys) && strings.HasSuffix(keys[i], suffix) }
	switch {
	case len(keys) == 4 && at(1, ":paused"):
		return scriptDequeue
	case len(keys) == 5 && at(0, ":active") && at(4, ":processed"):
		return scriptDone
	case at(0, ":active") && at(2, ":completed"):
		return scriptComplete
	case len(keys) == 8 && at(3, ":retry"):
		return scriptRetry
	case at(3, ":archived"):
		return scriptArchive
	case len(keys) == 4 && at(0, ":active") && at(2, ":pending"):
		return scriptRequeue
	case len(keys) == 2 && at(1, ":pending"):
		return scriptForward
	case len(keys) == 1 && at(0, ":lease"):
		return scriptRecover
	case len(keys) == 1 && at(0, ":completed"):
		return scriptJanitor
	case len(keys) == 2 && strings.HasPrefix(keys[0], "asynq:servers:"):
		return scriptHeartbeat
	default:
		return scriptOther
	}
}
