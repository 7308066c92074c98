package proof_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// program is what all processes run, built once for all tests of this package.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// settledPath builds the program when it is first asked for.
func settledPath(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "settled-proof-"); program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "settled")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", program.path, "github.com/settled-dev/settled/cmd/settled")
		if output, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("build settled: %w\n%s", err, output)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// process is a settled in a process of its own.
type process struct {
	cmd    *exec.Cmd
	leash  *os.File
	said   *lockedBuffer
	exited chan struct{}
	err    error // of the end; set before exited is closed
}

// leashScript becomes the worker. Beside it waits a shell that kills it when this process dies, which closes the leash; a line on the
// leash lets it go.
const leashScript = `{ read -r _ || kill -KILL $$; } <&3 >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null`

// startProcess starts a worker that uses the stack's Redis and a database. It is killed when the test ends, if it still runs.
func (s *stack) startProcess(t *testing.T, databaseURL string) *process {
	t.Helper()
	return s.startProgram(t, settledPath(t), databaseURL, workerArguments...)
}

// workerArguments are those of a small worker.
var workerArguments = []string{"worker", "--channels", "simulated", "--metrics-listen", "off", "--servers", "critical=1;refunds=1;sweeps=1;low=1"}

// startProgram starts a settled of some version that uses the stack's Redis and a database. It is killed when the test ends, if it still
// runs.
func (s *stack) startProgram(t *testing.T, path, databaseURL string, arguments ...string) *process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	p := &process{leash: write, said: &lockedBuffer{}, exited: make(chan struct{})}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", leashScript, "leash", path}, arguments...)...)
	p.cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "REDIS_URL="+s.server.URL)
	p.cmd.ExtraFiles, p.cmd.Stdout, p.cmd.Stderr = []*os.File{read}, p.said, p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		_, _ = write.WriteString("gone\n")
		_ = write.Close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s %s, process %d, said:\n%s", path, arguments[0], p.cmd.Process.Pid, p.said)
		}
	})
	return p
}

// kill ends the process by SIGKILL, and returns when it is gone. It may be called again.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Error(err)
	}
}

// stop lets the process finish, and fails the test unless it ends well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	waitFor(t, p.exited, "the process to stop")
	if p.err != nil {
		t.Errorf("the process ended with %v", p.err)
	}
}

// lockedBuffer collects what a process says.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
