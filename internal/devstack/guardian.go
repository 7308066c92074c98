package devstack

import (
	_ "embed"
	"fmt"
	"io"
	"os/exec"
)

//go:embed guardian.sh
var guardianScript string

// guardian is the process that cleans up after us when we cannot (invariant 1). It works on its own from the moment
// that we die, so it is a shell script and not a goroutine.
type guardian struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// startGuardian starts a guardian over dir, which it removes when we die, after ending the watched server by signal
// (a name such as "QUIT").
func startGuardian(dir, signal string, as *account) (*guardian, error) {
	cmd := exec.Command("/bin/sh", "-c", guardianScript, "guardian", dir, signal)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = detached(as)
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open the guardian's input: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guardian: %w", err)
	}
	return &guardian{cmd: cmd, input: input}, nil
}

// watch makes pid the process that the guardian ends. From its return on the process cannot outlive us.
func (g *guardian) watch(pid int) error {
	if _, err := fmt.Fprintf(g.input, "watch %d\n", pid); err != nil {
		return fmt.Errorf("tell guardian about process %d: %w", pid, err)
	}
	return nil
}

// forget tells the guardian that the watched process is gone, so that it does not kill a stranger that was given the
// same process id. A guardian that is gone as well has nothing to forget.
func (g *guardian) forget() { _, _ = io.WriteString(g.input, "watch\n") }

// release ends the guardian without touching anything.
func (g *guardian) release() {
	_, _ = io.WriteString(g.input, "release\n")
	_ = g.input.Close()
	_ = g.cmd.Wait()
}
