package proof_test

import (
	"bytes"
	"fmt"
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

// olderPath builds the version before from this repository's own history. A copy without that history skips the test. The program is kept
// among the user's caches: it never changes, and costs half a minute of processor time.
func olderPath(t *testing.T) string {
	t.Helper()
	older.once.Do(func() {
		caches, err := os.UserCacheDir()
		if err != nil {
			caches = os.TempDir()
		}
		older.path = filepath.Join(caches, "settled-proof", olderCommit)
		if _, err := os.Stat(older.path); err != nil {
			older.missing, older.err = buildOlder(older.path)
		}
	})
	switch {
	case older.missing != "":
		t.Skipf("the version before cannot be built here: %s", older.missing)
	case older.err != nil:
		t.Fatalf("build the version before: %v", older.err)
	}
	return older.path
}

// buildOlder puts the program at a path, all at once: another test run may do the same. missing says what is not here.
func buildOlder(path string) (missing string, err error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return "git is not installed", nil
	}
	root := filepath.Join("..", "..")
	if exec.Command(git, "-C", root, "cat-file", "-e", olderCommit+"^{commit}").Run() != nil {
		return "this copy has not the commit " + olderCommit + ": it is shallow, or exported", nil
	}
	archive, err := exec.Command(git, "-C", root, "archive", olderCommit).Output()
	if err != nil {
		return "", fmt.Errorf("export the commit: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	sources, err := os.MkdirTemp(filepath.Dir(path), "sources-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(sources)
	unpack := exec.Command("tar", "-x", "-C", sources)
	unpack.Stdin = bytes.NewReader(archive)
	if err := unpack.Run(); err != nil {
		return "", fmt.Errorf("unpack the commit: %w", err)
	}
	built := filepath.Join(sources, "settled-older")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built, "./cmd/settled")
	build.Dir = sources
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, said)
	}
	return "", os.Rename(built, path)
}
