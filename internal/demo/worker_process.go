package demo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Worker is something that applies requests, in this process or another.
type Worker interface {
	// Name tells people which one it is.
	Name() string
	// Kill ends the worker without any warning and returns when it is gone.
	Kill() error
	// Stop lets the worker finish what it has begun, and returns when it has.
	Stop(ctx context.Context) error
}

// Workers starts workers that are processes: copies of a command. A process never outlives this one.
type Workers struct {
	// Path, Args and Env are the command. Env is all of its environment.
	Path string
	Args []string
	Env  []string
	// Ended is told of a process that ended without being asked to, with the end of what it said.
	Ended func(error)

	mu       sync.Mutex
	guardian *exec.Cmd
	orders   io.WriteCloser // to the guardian
}

// guardianScript kills what it watches when the writer of its input dies.
//
//go:embed guardian.sh
var guardianScript string

// gateScript becomes the worker only when told to, so that the guardian knows the process before it works.
const gateScript = `read -r _ && exec "$@" </dev/null`

// Start starts a worker process.
func (w *Workers) Start() (Worker, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.startGuardian(); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", gateScript, "worker", w.Path}, w.Args...)...)
	p := &workerProcess{workers: w, cmd: cmd, exited: make(chan struct{})}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = w.Env, &p.said, &p.said, apart()
	gate, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open the worker's gate: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	go p.wait()
	_, err = fmt.Fprintf(w.orders, "watch %d\n", cmd.Process.Pid)
	if err == nil {
		_, err = io.WriteString(gate, "go\n")
	}
	if err = errors.Join(err, gate.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("let the worker go: %w", err), p.Kill())
	}
	return p, nil
}

func (w *Workers) startGuardian() error {
	if w.guardian != nil {
		return nil
	}
	cmd := exec.Command("/bin/sh", "-c", guardianScript)
	cmd.SysProcAttr = apart()
	orders, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open the guardian's input: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the workers' guardian: %w", err)
	}
	w.guardian, w.orders = cmd, orders
	return nil
}

// Close ends the guardian. The processes must have ended.
func (w *Workers) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.guardian == nil {
		return nil
	}
	err := w.orders.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, w.guardian.Wait())
}

func (w *Workers) forget(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = fmt.Fprintf(w.orders, "forget %d\n", pid) // a guardian that is gone has nothing to forget
}

// apart puts a process in a group of its own: a terminal's Ctrl-C is for this process, which ends the others in order.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// workerProcess is a worker in a process of its own.
type workerProcess struct {
	workers *Workers
	cmd     *exec.Cmd
	said    tail
	exited  chan struct{}

	mu    sync.Mutex
	asked bool // to end
	err   error
}

// Name implements Worker.
func (p *workerProcess) Name() string { return fmt.Sprintf("worker %d", p.cmd.Process.Pid) }

func (p *workerProcess) wait() {
	err := p.cmd.Wait()
	p.workers.forget(p.cmd.Process.Pid)
	p.mu.Lock()
	asked := p.asked
	p.err = err
	p.mu.Unlock()
	close(p.exited)
	if !asked && p.workers.Ended != nil {
		p.workers.Ended(fmt.Errorf("%s ended by itself (%v) and said: %s", p.Name(), err, p.said.String()))
	}
}

// Kill implements Worker with SIGKILL.
func (p *workerProcess) Kill() error {
	p.ask(syscall.SIGKILL)
	<-p.exited
	return nil
}

// Stop implements Worker with SIGTERM, and with SIGKILL when ctx ends first.
func (p *workerProcess) Stop(ctx context.Context) error {
	p.ask(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = p.Kill()
		return fmt.Errorf("stop %s: it had to be killed; it said: %s", p.Name(), p.said.String())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("stop %s: %w; it said: %s", p.Name(), p.err, p.said.String())
	}
	return nil
}

// ask sends a signal. A process that is gone needs none.
func (p *workerProcess) ask(signal syscall.Signal) {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(signal)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// tailBytes are enough for the last few lines of a log.
const tailBytes = 2000

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(bytes.ToValidUTF8(t.kept, nil))); text != "" {
		return "\n" + text
	}
	return "nothing"
}

// stopTimeout is how long a worker may take to finish what it has begun.
const stopTimeout = 15 * time.Second
