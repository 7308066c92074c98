package child

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
)

// Group starts processes that never outlive this one, however it ends. Its zero value is ready. Its methods may be called at the same
// time.
type Group struct {
	// Ended is told of a process that ended without being asked to, with the end of what it said. Set it before the first Start.
	// Defaults to nobody.
	Ended func(error)

	mu       sync.Mutex
	guardian *exec.Cmd
	orders   io.WriteCloser // to the guardian
}

// Command is what a process runs.
type Command struct {
	Name string // tells people which one it is
	Path string
	Args []string
	Env  []string // all of its environment
}

// guardianScript kills what it watches when the writer of its input dies.
//
//go:embed guardian.sh
var guardianScript string

// gateScript becomes the command only when told to, so that the guardian knows the process before it works.
const gateScript = `read -r _ && exec "$@" </dev/null`

// Start starts a process.
func (g *Group) Start(command Command) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.startGuardian(); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", gateScript, "child", command.Path}, command.Args...)...)
	p := &Process{group: g, name: command.Name, cmd: cmd, exited: make(chan struct{})}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = command.Env, &p.said, &p.said, apart()
	gate, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open the gate of %s: %w", command.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	go p.wait()
	_, err = fmt.Fprintf(g.orders, "watch %d\n", cmd.Process.Pid)
	if err == nil {
		_, err = io.WriteString(gate, "go\n")
	}
	if err = errors.Join(err, gate.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("let %s go: %w", command.Name, err), p.Kill())
	}
	return p, nil
}

func (g *Group) startGuardian() error {
	if g.guardian != nil {
		return nil
	}
	cmd := exec.Command("/bin/sh", "-c", guardianScript)
	cmd.SysProcAttr = apart()
	orders, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open the guardian's input: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guardian: %w", err)
	}
	g.guardian, g.orders = cmd, orders
	return nil
}

// Close ends the guardian. The processes must have ended.
func (g *Group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.guardian == nil {
		return nil
	}
	err := g.orders.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, g.guardian.Wait())
}

func (g *Group) forget(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = fmt.Fprintf(g.orders, "forget %d\n", pid) // a guardian that is gone has nothing to forget
}

// apart puts a process in a group of its own: a terminal's Ctrl-C is for this process, which ends the others in order.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Process is a process of a group.
type Process struct {
	group  *Group
	name   string
	cmd    *exec.Cmd
	said   tail
	exited chan struct{}

	mu    sync.Mutex
	asked bool // to end
	err   error
}

// Name is the command's name, with the number of the process.
func (p *Process) Name() string { return fmt.Sprintf("%s %d", p.name, p.cmd.Process.Pid) }

// Said is the end of what the process has said so far.
func (p *Process) Said() string { return p.said.String() }

// Exited is closed when the process has ended and was waited for.
func (p *Process) Exited() <-chan struct{} { return p.exited }

func (p *Process) wait() {
	err := p.cmd.Wait()
	p.group.forget(p.cmd.Process.Pid)
	p.mu.Lock()
	asked := p.asked
	p.err = err
	p.mu.Unlock()
	close(p.exited)
	if !asked && p.group.Ended != nil {
		p.group.Ended(fmt.Errorf("%s ended by itself (%v) and said: %s", p.Name(), err, p.said.String()))
	}
}

// Kill ends the process without any warning (SIGKILL), and returns when it is gone. It may be called again.
func (p *Process) Kill() error {
	p.ask(syscall.SIGKILL)
	<-p.exited
	return nil
}

// Stop lets the process finish what it has begun (SIGTERM), and kills it when ctx ends first, which is an error as is a status other
// than 0.
func (p *Process) Stop(ctx context.Context) error {
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
func (p *Process) ask(signal syscall.Signal) {
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
