package proof_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// olderCommit is the version before: processes of it and of this version run side by side while a deployment rolls. It moves on with each
// release.
const olderCommit = "70e881dfeb40baacacaca8f177194affb79319d4"

// older is the program of the version before, built once.
var older struct {
	once          sync.Once
	path, missing string
	err           error
}

// olderPath builds the version before from this repository's own history. A copy without that history skips the test.
func olderPath(t *testing.T) string {
	t.Helper()
	settledPath(t) // makes the directory
	older.once.Do(buildOlder)
	switch {
	case older.missing != "":
		t.Skipf("the version before cannot be built here: %s", older.missing)
	case older.err != nil:
		t.Fatalf("build the version before: %v", older.err)
	}
	return older.path
}

func buildOlder() {
	sources := filepath.Join(program.dir, "older")
	if older.err = os.Mkdir(sources, 0o700); older.err != nil {
		return
	}
	git, err := exec.LookPath("git")
	if err != nil {
		older.missing = "git is not installed"
		return
	}
	if exec.Command(git, "-C", filepath.Join("..", ".."), "cat-file", "-e", olderCommit+"^{commit}").Run() != nil {
		older.missing = "this copy has not the commit " + olderCommit + " (shallow, or exported)"
		return
	}
	archive, err := exec.Command(git, "-C", filepath.Join("..", ".."), "archive", olderCommit).Output()
	if older.err = err; err != nil {
		return
	}
	unpack := exec.Command("tar", "-x", "-C", sources)
	unpack.Stdin = bytes.NewReader(archive)
	if older.err = unpack.Run(); older.err != nil {
		return
	}
	older.path = filepath.Join(program.dir, "settled-older")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", older.path, "./cmd/settled")
	build.Dir = sources
	if said, err := build.CombinedOutput(); err != nil {
		older.err = &buildError{err, string(said)}
	}
}

// buildError is a build that failed, with what it said.
type buildError struct {
	err  error
	said string
}

// Error implements error.
func (e *buildError) Error() string { return e.err.Error() + "\n" + e.said }
