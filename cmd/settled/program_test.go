package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// call is one run of the program, in this process.
type call struct {
	stdin   io.Reader
	env     map[string]string
	signals chan os.Signal
	limited func(bytes int64) // Program.LimitMemory
}

// ended is what a run left behind.
type ended struct {
	code           int
	stdout, stderr string
}

// run runs the program to its end.
func (c call) run(t *testing.T, args ...string) ended {
	t.Helper()
	var stdout, stderr strings.Builder
	code := c.program(&stdout, &stderr).Main(t.Context(), args)
	return ended{code, stdout.String(), stderr.String()}
}

func (c call) program(stdout, stderr io.Writer) *Program {
	if c.stdin == nil {
		c.stdin = strings.NewReader("")
	}
	return &Program{
		Stdin: c.stdin, Stdout: stdout, Stderr: stderr,
		LookupEnv: func(name string) (string, bool) {
			value, set := c.env[name]
			return value, set
		},
		Environ: func() []string {
			environ := os.Environ()
			for name, value := range c.env {
				environ = append(environ, name+"="+value)
			}
			return environ
		},
		Signals: c.signals, Abort: func() {}, LimitMemory: c.limited, Clock: clock.System,
	}
}

// process is a run that goes on until stop.
type process struct {
	t      *testing.T
	stdout *output
	stderr *output
	cancel context.CancelFunc
	done   chan struct{}
	code   int
}

// start runs the program beside the test, and ends it with the test at the latest.
func (c call) start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, stdout: newOutput(), stderr: newOutput(), cancel: cancel, done: make(chan struct{})}
	program := c.program(p.stdout, p.stderr)
	go func() {
		defer close(p.done)
		p.code = program.Main(ctx, args)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s\n%s%s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// stop asks the process to end, as a signal does, and returns its exit code.
func (p *process) stop() int {
	p.cancel()
	<-p.done
	return p.code
}

// says waits until the process has written text, and returns all that it has written.
func (p *process) says(out *output, text string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		written, more := out.read()
		if strings.Contains(written, text) {
			return written
		}
		select {
		case <-more:
		case <-p.done:
			p.t.Fatalf("ended with %d before it said %q:\n%s%s", p.code, text, p.stdout, p.stderr)
		case <-timeout:
			p.t.Fatalf("did not say %q in %s:\n%s%s", text, patience, p.stdout, p.stderr)
		}
	}
}

// patience is how long a test waits for what takes milliseconds on an idle machine.
const patience = 60 * time.Second

// output collects what a process writes, and wakes who waits for it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(part []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(part)
}

// read returns all that was written, and a channel that is closed by the next write.
func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.more
}

func (o *output) String() string {
	text, _ := o.read()
	return text
}

// expect fails the test unless the run ended with code and said the texts, on either stream.
func (e ended) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	if e.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", e.code, code, e.stdout, e.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(e.stdout+e.stderr, text) {
			t.Errorf("does not say %q:\n%s%s", text, e.stdout, e.stderr)
		}
	}
}

func commandNames() []string {
	return []string{"dev", "demo", "bench", "simulate channel", "migrate", "api", "worker", "scheduler", "healthcheck", "request", "show", "balance", "statement", "audit",
		"dead", "requeue", "inquire", "policy", "key create", "key list", "key revoke", "webhook create",
		"webhook list", "webhook disable", "webhook enable", "webhook rotate", "webhook messages", "webhook redeliver"}
}

func TestEveryCommandExplainsItselfWithAnExample(t *testing.T) {
	t.Parallel()
	top := call{}.run(t, "--help")
	top.expect(t, exitOK, "Exit codes: 0", "settled dev")
	if bare := (call{}).run(t); bare != top {
		t.Errorf("without arguments: %+v, want the help", bare)
	}
	for _, name := range commandNames() {
		help := call{}.run(t, append(strings.Fields(name), "--help")...)
		help.expect(t, exitOK, "Usage: settled "+name)
		if !strings.Contains(help.stdout, "    $ settled") && name != "healthcheck" {
			t.Errorf("%s shows no example:\n%s", name, help.stdout)
		}
		if !strings.Contains(top.stdout, "\n  "+name+" ") {
			t.Errorf("%s is not listed:\n%s", name, top.stdout)
		}
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	for command, settings := range map[string][]string{
		"request": {"DATABASE_URL", "REDIS_URL"},
		"api": {"DATABASE_URL", "REDIS_URL", "SETTLED_LISTEN", "SETTLED_RATE", "SETTLED_BURST", "SETTLED_METRICS_LISTEN", "SETTLED_LOG_LEVEL",
			"SETTLED_PPROF", "SETTLED_WEBHOOKS_ALLOW_PRIVATE"},
		"worker":    {"SETTLED_CHANNELS", "SETTLED_WEBHOOKS", "SETTLED_WEBHOOKS_ALLOW_PRIVATE"},
		"scheduler": {"SETTLED_AUDIT_EVERY"},
		"dev":       {"SETTLED_LISTEN"},
	} {
		help := call{}.run(t, command, "--help")
		for _, setting := range settings {
			help.expect(t, exitOK, "$"+setting)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	if got := (call{}).run(t, "--version"); got.code != exitOK || got.stdout == "" {
		t.Errorf("%+v", got)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnswerThatCouldNotBeWrittenWasNotGiven(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	story(t, books)
	for _, args := range [][]string{{"--version"}, {"audit"}, {"audit", "--json"}, {"balance", "u1"}, {"statement", "u1"}, {"dead"},
		{"show", "recharge:confirm", "rc1"}, {"policy"}, {"key", "list"}} {
		var stderr strings.Builder
		if code := c.program(fullDisk{}, &stderr).Main(t.Context(), args); code != exitTrouble || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: exit code %d: %s", args, code, stderr.String())
		}
	}
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	t.Parallel()
	here := map[string]string{"DATABASE_URL": "postgres://u@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"refund"}, "unexpected argument refund"},
		{[]string{"audit", "--fast"}, "unknown flag --fast"},
		{[]string{"show", "refund:apply"}, "<key>"},
		{[]string{"show", "refund:pay", "r1"}, `kind is "refund:pay"`},
		{[]string{"inquire"}, "which orders?"},
		{[]string{"inquire", "rc1", "--all"}, "which orders?"},
		{[]string{"requeue", "refund:pay", "r1"}, `kind is "refund:pay"`},
		{[]string{"requeue", "refund:apply"}, "which request?"},
		{[]string{"requeue", "--dead"}, "--dead goes with --kind"},
		{[]string{"requeue", "refund:apply", "r1", "--dead", "--kind", "refund:apply"}, "--dead goes with --kind"},
		{[]string{"requeue", "refund:apply", "r1", "--dry-run"}, "they go with --dead"},
		{[]string{"requeue", "--dead", "--kind", "refund:pay"}, `kind is "refund:pay"`},
		{[]string{"requeue", "--dead", "--kind", "refund:send", "--channel", "visa"}, `--channel: is "visa"; allowed: [wechat`},
		{[]string{"request", "refund:apply"}, "--file"},
		{[]string{"request", "refund:answer", "--file", "-"}, "payment:capture, recharge:confirm, refund:apply"},
		{[]string{"request", "refund:apply", "--file", "no/such/file"}, "no/such/file"},
		{[]string{"balance", "u1", "--at", "yesterday"}, `--at: "yesterday" is not a time`},
		{[]string{"statement", "u1", "--limit", "0"}, "--limit: is 0; allowed: 1 to 1000"},
		{[]string{"dead", "--limit", "0"}, "--limit: is 0"},
		{[]string{"migrate", "--books", "2000"}, "--books: is 2000; allowed: 1 to 1024"},
		{[]string{"policy", "--set", "no/such/file"}, "no/such/file"},
		{[]string{"request", "refund:apply", "--file", "."}, ". is a directory; allowed: a file, or -"},
		{[]string{"policy", "--set", "."}, ". is a directory"},
		{[]string{"api", "--listen", "192.0.2.1:1", "--metrics-listen", "off"}, `--listen or SETTLED_LISTEN is "192.0.2.1:1": listen tcp`},
		{[]string{"worker", "--metrics-listen", "192.0.2.1:1"}, `--metrics-listen or SETTLED_METRICS_LISTEN is "192.0.2.1:1": `},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "192.0.2.1:1"}, `--listen or SETTLED_SIMULATOR_LISTEN is "192.0.2.1:1": `},
		{[]string{"drill", "redis-loss"}, "--yes is missing"},
		{[]string{"drill", "redis-loss", "--yes", "--outage", "61m"}, "--outage: is 1h1m0s; allowed: up to 1h"},
		{[]string{"drill", "redis-loss", "--yes", "--outage", "1us"}, "--outage: is 1µs"},
		{[]string{"drill", "redis-loss", "--yes", "--failover", "--outage", "1m"}, "without --own and --outage"},
		{[]string{"drill", "redis-loss", "--yes", "--failover"}, "names no Sentinel"},
		{[]string{"drill", "redis-loss", "--own"}, "--outage is missing"},
		{[]string{"healthcheck", "127.0.0.1:9090"}, "allowed: http:// or https://"},
		{[]string{"simulate", "channel"}, "--dir"},
		{[]string{"simulate", "channel", "--dir", "no/such", "--only", "visa"}, `--only: "visa" is not simulated; allowed: wechat, `},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "0.0.0.0:0"}, "--base-url says by which"},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "127.0.0.1:0", "--delays", "1001"}, "delays is 1001; allowed: 0 to 1000"},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "127.0.0.1:0", "--time-scale", "0"}, "--time-scale is 0"},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "127.0.0.1:0", "--time-scale=-1"}, "time scale is -1"},
		{[]string{"simulate", "channel", "--dir", "no/such", "--listen", "127.0.0.1:0", "--notify", "api"}, "notify URL is not an address"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			call{env: here}.run(t, c.args...).expect(t, exitUsage, "settled: ", c.says)
		})
	}
}

func TestBadSettingNamesItselfAndHidesItsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		says string
	}{
		"no database":          {nil, []string{"audit"}, "DATABASE_URL is not set"},
		"empty database":       {map[string]string{"DATABASE_URL": ""}, []string{"audit"}, "DATABASE_URL is not set"},
		"mysql":                {map[string]string{"DATABASE_URL": "mysql://u:s3cr3t@h/d"}, []string{"audit"}, "DATABASE_URL has scheme"},
		"port":                 {map[string]string{"DATABASE_URL": "postgres://u:s3cr3t@h:x/d"}, []string{"balance", "u1"}, "DATABASE_URL"},
		"slash in password":    {map[string]string{"DATABASE_URL": "postgres://u:s3cr3t/x@h:5432/d"}, []string{"migrate"}, "DATABASE_URL"},
		"no redis":             {map[string]string{"DATABASE_URL": "postgres://u@h/d"}, []string{"worker"}, "REDIS_URL is not set"},
		"redis scheme":         {map[string]string{"DATABASE_URL": "postgres://u@h/d", "REDIS_URL": "http://:s3cr3t@h:1"}, []string{"api"}, "REDIS_URL"},
		"redis port":           {map[string]string{"DATABASE_URL": "postgres://u@h/d", "REDIS_URL": "redis://:s3cr3t@h:port/0"}, []string{"api"}, "REDIS_URL"},
		"redis database":       {map[string]string{"DATABASE_URL": "postgres://u@h/d", "REDIS_URL": "redis://:s3cr3t@h:1/x"}, []string{"requeue", "refund:apply", "r1"}, "REDIS_URL"},
		"duration":             {map[string]string{"SETTLED_AUDIT_EVERY": "often"}, []string{"scheduler"}, "SETTLED_AUDIT_EVERY cannot be used"},
		"bool":                 {map[string]string{"SETTLED_PPROF": "perhaps"}, []string{"api"}, "SETTLED_PPROF cannot be used"},
		"log level":            {map[string]string{"SETTLED_LOG_LEVEL": "loud"}, []string{"api"}, "SETTLED_LOG_LEVEL"},
		"producer":             {nil, []string{"request", "refund:apply", "--file", "-"}, "DATABASE_URL is not set"},
		"database by its flag": {nil, []string{"audit", "--database-url", "postgres://u:s3cr3t@h:x/d"}, "DATABASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call{env: c.env}.run(t, c.args...)
			got.expect(t, exitUsage, c.says)
			if strings.Contains(got.stdout+got.stderr, secret) {
				t.Errorf("the password is shown:\n%s%s", got.stdout, got.stderr)
			}
		})
	}
}

func TestServerThatIsAwayIsTroubleAndNotARefusal(t *testing.T) {
	t.Parallel()
	away := map[string]string{"DATABASE_URL": "postgres://ada:s3cr3t@127.0.0.1:1/books", "REDIS_URL": "redis://127.0.0.1:1/0"}
	for _, args := range [][]string{{"audit"}, {"migrate"}, {"show", "refund:apply", "r1"}, {"request", "refund:apply", "--file", "-"}} {
		got := call{env: away}.run(t, args...)
		got.expect(t, exitTrouble, "127.0.0.1:1/books")
		if strings.Contains(got.stderr, "s3cr3t") {
			t.Errorf("%v: the password is shown:\n%s", args, got.stderr)
		}
	}
}

func TestFlagWinsOverTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"DATABASE_URL": "postgres://u@127.0.0.1:1/from-environment"}
	got := call{env: env}.run(t, "audit", "--database-url", "postgres://u@127.0.0.1:1/from-flag")
	got.expect(t, exitTrouble, "from-flag")
}

func TestTablesAlignTheirColumns(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	text := table{columns: []column{left("account"), right("amount"), left("note")}}
	text.add("user/u1/cash", "1.00", "")
	text.add("u", "-100.25", "x")
	text.print(&out, "  ")
	want := "  account        amount  note\n  user/u1/cash     1.00\n  u             -100.25  x\n"
	if out.String() != want {
		t.Errorf("got\n%q, want\n%q", out.String(), want)
	}
}

func TestCountsAreGroupedAtTheThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 123456: "123,456"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := fmt.Sprint(plural(1, "book"), plural(4, "book")); got != "1 book4 books" {
		t.Error(got)
	}
}
