package demo

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

// scripted starts a worker that runs a shell script. What the workers tell of it comes through the channel.
func scripted(t *testing.T, script string) (*Workers, *workerProcess, <-chan error) {
	t.Helper()
	told := make(chan error, 1)
	workers := &Workers{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		Ended: func(err error) { told <- err }}
	worker, err := workers.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := worker.Kill(); err != nil {
			t.Error(err)
		}
		if err := workers.Close(); err != nil {
			t.Error(err)
		}
	})
	return workers, worker.(*workerProcess), told
}

func nobodyIsTold(t *testing.T, told <-chan error) {
	t.Helper()
	select {
	case err := <-told:
		t.Errorf("told of an end that was asked for: %v", err)
	default:
	}
}

func TestKilledWorkerIsGone(t *testing.T) {
	t.Parallel()
	_, worker, told := scripted(t, forEver)
	if err := worker.Kill(); err != nil {
		t.Fatal(err)
	}
	if worker.cmd.ProcessState == nil {
		t.Error("the process was not waited for")
	}
	nobodyIsTold(t, told)
}

func TestStoppedWorkerFinishesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, finished := filepath.Join(dir, "ready"), filepath.Join(dir, "finished")
	_, worker, told := scripted(t, "trap 'touch "+finished+"; exit 0' TERM; touch "+ready+"; while :; do sleep 0.01; done")
	for {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		<-clock.System.After(time.Millisecond)
	}
	if err := worker.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(finished); err != nil {
		t.Errorf("the worker did not finish: %v", err)
	}
	nobodyIsTold(t, told)
}

func TestWorkerThatDoesNotStopIsKilledAndToldOf(t *testing.T) {
	t.Parallel()
	_, worker, _ := scripted(t, "trap '' TERM; echo stubborn; exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := worker.Stop(ctx); err == nil || !strings.Contains(err.Error(), "had to be killed") {
		t.Errorf("error %v, want one that says that it had to be killed", err)
	}
}

func TestWorkerThatEndsByItselfIsToldWithWhatItSaid(t *testing.T) {
	t.Parallel()
	_, _, told := scripted(t, "echo no database >&2; exit 3")
	if err := <-told; !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no database") {
		t.Errorf("told %v, want the status and what it said", err)
	}
}

// The end of the guardian's input is what it sees when this process dies.
func TestWorkerDiesWithTheProcessThatStartedIt(t *testing.T) {
	t.Parallel()
	workers, worker, told := scripted(t, forEver)
	if err := workers.orders.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !strings.Contains(err.Error(), "killed") {
		t.Errorf("told %v, want that the worker was killed", err)
	}
	<-worker.exited
}

func TestOnlyTheEndOfWhatAWorkerSaysIsKept(t *testing.T) {
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
