package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that decide something here; https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	tooManyConnections   = "53300"
	idleInTransaction    = "25P03"
	connectionException  = "08"   // class
	operatorIntervention = "57P0" // shutdown, crash, starting up, database dropped, idle session; not 57014, a cancelled query
	dataException        = "22"   // class
	constraintViolation  = "23"   // class
)

// IsRetryable reports whether the server gave the transaction up for the sake of others: serialization failure,
// deadlock, or a lock that was not available in time. The same transaction may succeed when run again with fresh
// reads. Nothing of it was kept.
func IsRetryable(err error) bool {
	switch sqlState(err) {
	case serializationFailure, deadlockDetected, lockNotAvailable:
		return true
	default:
		return false
	}
}

// IsConnection reports whether the connection failed, or the server is going down, coming up or full: nothing is wrong
// with what was asked. If it was a COMMIT, whether it took effect is not known. A context that the caller ended is not
// a failed connection.
func IsConnection(err error) bool {
	if state := sqlState(err); state != "" {
		return strings.HasPrefix(state, connectionException) || strings.HasPrefix(state, operatorIntervention) ||
			state == tooManyConnections || state == idleInTransaction
	}
	// A connection attempt has a deadline of its own, so that its context's end says nothing about the caller's.
	if connect := (*pgconn.ConnectError)(nil); errors.As(err, &connect) {
		return !errors.Is(err, context.Canceled)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, broken := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed,
		syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network)
}

// IsContent reports whether the server refused what a statement contains: a value that does not fit (class 22) or a
// constraint that it breaks (class 23). The same statement fails again.
func IsContent(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, dataException) || strings.HasPrefix(state, constraintViolation)
}

// Constraint returns the name of the constraint that err says was broken, or "".
func Constraint(err error) string {
	if server := (*pgconn.PgError)(nil); errors.As(err, &server) {
		return server.ConstraintName
	}
	return ""
}

// Said returns what the server said in err, without its code and what was being done; err's text when it is no answer of the server.
func Said(err error) string {
	if server := (*pgconn.PgError)(nil); errors.As(err, &server) {
		return server.Message
	}
	return err.Error()
}

// sqlState returns the server's code for err, or "" when err is not an answer of the server.
func sqlState(err error) string {
	if server := (*pgconn.PgError)(nil); errors.As(err, &server) {
		return server.Code
	}
	return ""
}
