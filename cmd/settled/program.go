package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/settled-dev/settled/internal/clock"
)

// Program is one run of settled. It touches the process that it runs in only through these fields.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// LookupEnv reads one variable of the environment; Environ is all of it, for commands that are started.
	LookupEnv func(name string) (value string, set bool)
	Environ   func() []string
	// Signals brings the signals that ask the program to end. nil brings none.
	Signals <-chan os.Signal
	// Abort ends the process at once: a second signal asks for it. It may be nil where Signals is.
	Abort func()
	// LimitMemory has garbage collected more often when the process would hold more than so many bytes otherwise. It may be nil: nothing is
	// limited then.
	LimitMemory func(bytes int64)
	Clock       clock.Timer

	parsed *kong.Context
}

// Main parses the arguments, runs the command, tells of its error, and returns the exit code.
func (p *Program) Main(ctx context.Context, args []string) int {
	answer := &answerWriter{Writer: p.Stdout}
	p.Stdout = answer
	err := p.ParseArgs(args)
	if err == nil && p.parsed != nil {
		err = p.Run(ctx)
	}
	if err == nil {
		err = answer.err()
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintf(p.Stderr, "settled: %v\n", err)
	}
	return exitCode(err)
}

// helpShown is what kong's exit function panics with once it has printed a help text or the version.
type helpShown struct{}

// ParseArgs reads the command line. Asked for help or the version it prints that, and Run has nothing to do.
func (p *Program) ParseArgs(args []string) (err error) {
	var root commands
	parser, err := kong.New(&root,
		kong.Name("settled"), kong.Description(description), kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(int) { panic(helpShown{}) }),
		kong.Vars{"version": version()},
		kong.Resolvers(p.environment()), kong.ValueFormatter(describeFlag),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ExplicitGroups(groups),
	)
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	defer func() {
		switch shown := recover().(type) {
		case nil:
		case helpShown:
			p.parsed, err = nil, nil
		default:
			panic(shown)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if p.parsed, err = parser.Parse(args); err != nil {
		return &usageError{problem: fmt.Sprintf("%v; run `settled --help`, or `settled COMMAND --help`", err)}
	}
	return nil
}

// Run runs the command that ParseArgs found, until it is done, fails, or a signal ends it.
func (p *Program) Run(ctx context.Context) error {
	ctx, stop := p.untilSignal(ctx)
	defer stop()
	p.parsed.BindTo(ctx, (*context.Context)(nil))
	return p.parsed.Run(p)
}

// untilSignal returns a context that the first signal ends; the second one aborts. A command that wants the signals for itself
// (dev -- CMD) reads them before.
func (p *Program) untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if p.Signals == nil || p.forwardsSignals() {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		for count := 0; ; count++ {
			select {
			case <-done:
				return
			case signal := <-p.Signals:
				if count > 0 {
					p.Abort()
				}
				cancel(&interruptedError{signal: signal})
			}
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// version is what the build says of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
