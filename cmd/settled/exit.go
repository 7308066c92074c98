package main

import (
	"errors"
	"os"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
)

// The exit codes; the package's comment says what each means.
const (
	exitOK          = 0
	exitNo          = 1
	exitUsage       = 2
	exitTrouble     = 3
	exitInterrupted = 130
)

// errNo ends a command with exitNo and without a message: its output has said it.
var errNo = errors.New("")

// answerNoError ends a command with exitNo and says why.
type answerNoError struct{ answer string }

func (e *answerNoError) Error() string { return e.answer }

// usageError says that the command line or a setting is wrong.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

// interruptedError says that a signal ended the command.
type interruptedError struct{ signal os.Signal }

func (e *interruptedError) Error() string { return "interrupted by " + e.signal.String() }

// statusError hands on the exit code of a command that was run. problem may be empty.
type statusError struct {
	code    int
	problem string
}

func (e *statusError) Error() string { return e.problem }

// exitCode sorts the error that a command ended with.
func exitCode(err error) int {
	var (
		usage       *usageError
		badURL      *postgres.URLError
		status      *statusError
		interrupted *interruptedError
		no          *answerNoError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return status.code
	case errors.As(err, &usage), errors.As(err, &badURL):
		return exitUsage
	case errors.As(err, &interrupted):
		return exitInterrupted
	case errors.Is(err, errNo), errors.As(err, &no), errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNotDead):
		return exitNo
	default:
		return exitTrouble
	}
}
