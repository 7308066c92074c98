package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

const (
	// readyPoll is how often a starting server is asked whether it is ready: well below what starting takes.
	readyPoll = 10 * time.Millisecond
	// readyTimeout is generous, because PostgreSQL replays its log after a crash on a busy machine.
	readyTimeout = 2 * time.Minute
	// politeTimeout is how long a server may take to stop in order before it is told to stop at once.
	politeTimeout = 30 * time.Second
	// hardTimeout is how long it may take to stop at once before it is killed.
	hardTimeout = 10 * time.Second
	// logTailBytes of a server's log are shown when it fails.
	logTailBytes = 2000
)

// home is where one server lives for as long as it is ours, over all its restarts: its directory, its guardian, its
// log and the account that it runs as.
type home struct {
	server   string // the server's name, for messages
	dir      string
	as       *account
	guardian *guardian
}

// newHome makes the directory and starts its guardian, which ends the server by hardSignal (such as "QUIT").
func newHome(server, base, hardSignal string, as *account) (*home, error) {
	dir, err := as.privateDir(base, "settled-"+strings.ToLower(server)+"-")
	if err != nil {
		return nil, err
	}
	guardian, err := startGuardian(dir, hardSignal, as)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &home{server: server, dir: dir, as: as, guardian: guardian}, nil
}

// remove deletes the directory and releases the guardian. Nothing may run in the directory any more.
func (h *home) remove() error {
	err := os.RemoveAll(h.dir)
	h.guardian.release()
	if err != nil {
		return fmt.Errorf("remove directory of %s: %w", h.server, err)
	}
	return nil
}

func (h *home) logPath() string { return filepath.Join(h.dir, "server.log") }

// env is all that a server sees of our environment: nothing that would set its locale, its zone or its data.
func (h *home) env() []string {
	env := []string{"HOME=" + h.dir, "LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// process is one run of a server.
type process struct {
	home     *home
	cmd      *exec.Cmd
	logStart int64         // where this run's part of the log begins
	exited   chan struct{} // closed when the process has ended and was waited for
}

// gateScript becomes the server only when told to. Until then its death costs nothing, which closes the gap between
// the start of the process and the guardian's knowing it: if we die in between, read sees the end of input and the
// server never starts.
const gateScript = `read -r _ && exec "$@" </dev/null`

// start runs the command as the home's account. On return the guardian watches it.
func (h *home) start(command string, args ...string) (*process, error) {
	log, err := os.OpenFile(h.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", h.server, err)
	}
	defer log.Close()
	logStart, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("find end of log of %s: %w", h.server, err)
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", gateScript, "gate", command}, args...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = h.dir, h.env(), detached(h.as)
	cmd.Stdout, cmd.Stderr = log, log
	gate, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open input of %s: %w", h.server, err)
	}
	defer gate.Close()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", h.server, err)
	}
	p := &process{home: h, cmd: cmd, logStart: logStart, exited: make(chan struct{})}
	err = h.guardian.watch(cmd.Process.Pid)
	if err == nil {
		_, err = io.WriteString(gate, "go\n")
	}
	go p.wait()
	if err != nil {
		_ = gate.Close()
		<-p.exited
		return nil, fmt.Errorf("start %s: %w", h.server, err)
	}
	return p, nil
}

// wait reaps the process. It is the only one that waits; everyone else watches exited.
func (p *process) wait() {
	_ = p.cmd.Wait() // how it ended is in its log
	p.home.guardian.forget()
	close(p.exited)
}

// pid returns the process id. The server has it because the gate became the server.
func (p *process) pid() int { return p.cmd.Process.Pid }

// untilReady calls ask until it succeeds. It fails when the process ends (errPortTaken if that is why), when ctx ends,
// or after readyTimeout.
func (p *process) untilReady(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking()
	go func() {
		select {
		case <-p.exited:
			stopAsking() // whoever may be answering on the port, it is not ours
		case <-asking.Done():
		}
	}()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := ask(asking)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.startError()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to be ready: %w (last answer: %w)", p.home.server, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// startError says why a process ended that should be starting.
func (p *process) startError() error {
	tail := p.logTail()
	if strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("start %s: %w", p.home.server, errPortTaken)
	}
	return fmt.Errorf("start %s: %v; its log ends:\n%s", p.home.server, p.cmd.ProcessState, tail)
}

// logTail returns the end of what this run has logged.
func (p *process) logTail() string {
	log, err := os.ReadFile(p.home.logPath())
	if err != nil || int64(len(log)) < p.logStart {
		return fmt.Sprintf("(log not readable: %v)", err)
	}
	tail := log[p.logStart:]
	return string(tail[max(0, len(tail)-logTailBytes):])
}

// endInOrder asks the process to end by the polite signal. When it has not ended within politeTimeout, or ctx ends, it
// is ended at once by the hard one. On return the process is gone.
func (p *process) endInOrder(ctx context.Context, polite, hard syscall.Signal) {
	if !p.endBy(polite, politeTimeout, ctx.Done()) {
		p.endAtOnce(hard)
	}
}

// endAtOnce ends the process by signal, and by SIGKILL when it does not heed that. On return the process is gone.
func (p *process) endAtOnce(signal syscall.Signal) {
	if !p.endBy(signal, hardTimeout, nil) {
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// endBy sends the signal and reports whether the process ended within timeout and before cancelled.
func (p *process) endBy(signal syscall.Signal, timeout time.Duration, cancelled <-chan struct{}) bool {
	_ = p.cmd.Process.Signal(signal) // fails only when it has ended already
	select {
	case <-p.exited:
		return true
	case <-cancelled:
		return false
	case <-clock.System.After(timeout):
		return false
	}
}
