package simulate_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/settled-dev/settled/channel/simulate"
)

// A process that starts while a channel's keys are replaced reads the old file to its end, or the new one.
func TestFileIsReplacedUnderItsReadersAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := simulate.WriteFile(path, []byte("the old key")); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if err := simulate.WriteFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	old, err := io.ReadAll(reader)
	if err != nil || string(old) != "the old key" {
		t.Errorf("who had opened it reads %q, %v", old, err)
	}
	if replaced, err := os.ReadFile(path); err != nil || string(replaced) != "new" {
		t.Errorf("who opens it now reads %q, %v", replaced, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %v, %v", info, err)
	}
}
