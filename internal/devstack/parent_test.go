package devstack

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// helperEnv makes this test binary, started by one of its own tests, the parent of servers.
const helperEnv = "DEVSTACK_TEST_PARENT"

// helperReport is what the helper writes to its standard output once its servers answer.
type helperReport struct {
	Addresses []string // on which its servers listen
	Dirs      []string // in which they live
	Pids      []int
}

func TestServersDieWithAKilledParent(t *testing.T) {
	t.Parallel()
	helper, report := startHelper(t, nil)
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	assertGone(t, report)
}

func TestServersDieWithAParentThatExits(t *testing.T) {
	t.Parallel()
	helper, report := startHelper(t, nil)
	if err := helper.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	assertGone(t, report)
}

func TestFrozenServersDieWithAKilledParent(t *testing.T) {
	t.Parallel()
	helper, report := startHelper(t, nil)
	for _, pid := range report.Pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	assertGone(t, report)
}

func TestServersStartWithoutRoot(t *testing.T) {
	t.Parallel()
	as, err := serverAccount("nobody") // nil when these tests do not run as root: then every other test shows it
	if err != nil {
		t.Fatal(err)
	}
	helper, report := startHelper(t, as)
	for _, dir := range report.Dirs {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner == 0 {
			t.Errorf("%s belongs to root", dir)
		}
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	assertGone(t, report)
}

// TestHelperIsAParent is not a test: it is what startHelper runs. It starts servers, reports them, and waits for its end.
func TestHelperIsAParent(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		return
	}
	stack, err := Start(t.Context(), Options{Postgres: PostgresOptions{Fast: true}})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := NewDirectory("files")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir.Path, "key"), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewEncoder(os.Stdout).Encode(helperReport{
		Addresses: []string{loopback(stack.Postgres.port), loopback(stack.Redis.port)},
		Dirs:      []string{stack.Postgres.home.dir, stack.Redis.home.dir, dir.Path},
		Pids:      []int{stack.Postgres.PID(), stack.Redis.PID()},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startHelper runs the helper as the account, in a copy of this binary that every user may run.
func startHelper(t *testing.T, as *account) (*exec.Cmd, helperReport) {
	t.Helper()
	dir := t.TempDir()
	openToAll(t, dir)
	binary := filepath.Join(dir, "parent.test")
	copyFile(t, binary, os.Args[0])
	helper := exec.Command(binary, "-test.run=^TestHelperIsAParent$")
	helper.Env = []string{helperEnv + "=1", "PATH=" + os.Getenv("PATH")}
	helper.Dir, helper.Stderr, helper.SysProcAttr = dir, os.Stderr, detached(as)
	input, err := helper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = input.Close() })
	output, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var report helperReport
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &report)
	}
	if err != nil {
		_ = helper.Process.Kill()
		t.Fatalf("read the helper's report %q: %v", line, err)
	}
	return helper, report
}

// assertGone waits until nothing of what the helper started is left.
func assertGone(t *testing.T, report helperReport) {
	t.Helper()
	for _, dir := range report.Dirs {
		eventually(t, dir+" is removed", func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		})
	}
	for _, address := range report.Addresses {
		eventually(t, "nobody listens on "+address, func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}
