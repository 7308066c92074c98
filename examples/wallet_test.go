package examples_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dev runs the whole system, and returns what its greeting exports.
func dev(t *testing.T, settled string) []string {
	t.Helper()
	command := exec.Command(settled, "dev")
	command.Env = append(os.Environ(), "DATABASE_URL=", "REDIS_URL=") // servers of its own: the named ones are other tests'
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, output) // to its end
		if err := command.Wait(); err != nil && command.ProcessState.ExitCode() != 130 {
			t.Errorf("the system ended with %v and said:\n%s", err, &problems)
		}
	})
	var exports []string
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if export := regexp.MustCompile(`^  export (\w+)='(.*)'$`).FindStringSubmatch(lines.Text()); export != nil {
			exports = append(exports, export[1]+"="+export[2])
		}
		if strings.HasPrefix(lines.Text(), "ready") {
			return exports
		}
	}
	t.Fatalf("the system said:\n%s", &problems)
	return nil
}

// varying is what differs from run to run, and what stands for it in the file.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z,\d{4}-\d\d-\d\d`), "<time>,<date>"},
	{regexp.MustCompile(`number \w+`), "number <number>"},
	{regexp.MustCompile(`rf[0-9a-f]{30}`), "<refund number>"},
	{regexp.MustCompile(`-[0-9a-f]{8}\b`), "-<run>"},
	{regexp.MustCompile(`(?m)^\d+,`), "<seq>,"},
}

// A newcomer's script does what it says, over HTTP alone, and the books balance after it.
func TestWalletExamplePrintsWhatItsFileSays(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: the example needs it", err)
		}
	}
	bin := t.TempDir()
	settled := filepath.Join(bin, "settled")
	if said, err := exec.Command("go", "build", "-buildvcs=false", "-o", settled, "../cmd/settled").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	env := append(append(os.Environ(), dev(t, settled)...), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	script := exec.Command("sh", "wallet.sh")
	script.Env = env
	said, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	got := string(said)
	for _, v := range varying {
		got = v.pattern.ReplaceAllString(got, v.name)
	}
	want, err := os.ReadFile("wallet.out")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("what it prints (-wallet.out +now):\n%s", diff)
	}
	audit := exec.Command(settled, "audit")
	audit.Env = env
	if said, err := audit.CombinedOutput(); err != nil {
		t.Errorf("audit: %v\n%s", err, said)
	}
}
