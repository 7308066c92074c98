package child

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// forEver is a script that runs until it is killed.
const forEver = "exec sleep 600"

// scripted starts a process that runs a shell script. What the group tells of it comes through the channel.
func scripted(t *testing.T, script string) (*Group, *Process, <-chan error) {
	t.Helper()
	told := make(chan error, 1)
	group := &Group{Ended: func(err error) { told <- err }}
	process, err := group.Start(Command{Name: "script", Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	})
	return group, process, told
}

// await returns when something that the process will make true holds. A process that ends before will not.
func await(t *testing.T, process *Process, holds func() bool) {
	t.Helper()
	for !holds() {
		select {
		case <-process.Exited():
			t.Fatalf("%s ended too early; it said: %s", process.Name(), process.Said())
		case <-clock.System.After(time.Millisecond):
		}
	}
}

func nobodyIsTold(t *testing.T, told <-chan error) {
	t.Helper()
	select {
	case err := <-told:
		t.Errorf("told of an end that was asked for: %v", err)
	default:
	}
}

func TestKilledProcessIsGone(t *testing.T) {
	t.Parallel()
	_, process, told := scripted(t, forEver)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if process.cmd.ProcessState == nil {
		t.Error("the process was not waited for")
	}
	nobodyIsTold(t, told)
}

func TestStoppedProcessFinishesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, finished := filepath.Join(dir, "ready"), filepath.Join(dir, "finished")
	_, process, told := scripted(t, "trap 'touch "+finished+"; exit 0' TERM; touch "+ready+"; while :; do sleep 0.01; done")
	await(t, process, func() bool { _, err := os.Stat(ready); return err == nil })
	if err := process.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(finished); err != nil {
		t.Errorf("the process did not finish: %v", err)
	}
	nobodyIsTold(t, told)
}

func TestProcessThatDoesNotStopIsKilledAndToldOf(t *testing.T) {
	t.Parallel()
	_, process, _ := scripted(t, "trap '' TERM; echo stubborn; exec sleep 600")
	await(t, process, func() bool { return strings.Contains(process.Said(), "stubborn") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := process.Stop(ctx); err == nil || !strings.Contains(err.Error(), "had to be killed") {
		t.Errorf("error %v, want one that says that it had to be killed", err)
	}
}

func TestProcessThatEndsByItselfIsToldWithWhatItSaid(t *testing.T) {
	t.Parallel()
	_, _, told := scripted(t, "echo no database >&2; exit 3")
	if err := <-told; !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no database") {
		t.Errorf("told %v, want the status and what it said", err)
	}
}

// The end of the guardian's input is what it sees when this process dies.
func TestProcessDiesWithTheProcessThatStartedIt(t *testing.T) {
	t.Parallel()
	group, process, told := scripted(t, forEver)
	if err := group.orders.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !strings.Contains(err.Error(), "killed") {
		t.Errorf("told %v, want that the process was killed", err)
	}
	<-process.exited
}

func TestOnlyTheEndOfWhatAProcessSaysIsKept(t *testing.T) {
	t.Parallel()
	var said tail
	for range 10 {
		if n, err := said.Write([]byte(strings.Repeat("x", tailBytes))); n != tailBytes || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if _, err := said.Write([]byte("the end\n")); err != nil {
		t.Fatal(err)
	}
	if text := said.String(); len(text) > tailBytes+1 || !strings.HasSuffix(text, "the end") {
		t.Errorf("kept %d bytes, ending in %q", len(text), text[len(text)-10:])
	}
}
