package assent

import (
	"errors"
	"fmt"
)

// What became of a call that failed. errors.Is tells them apart.
var (
	// ErrUnknownOutcome: the transaction may or may not run. Submit the same Transaction again, or Wait on its gid, until
	// one of them answers: the same gid is the same transaction, so nothing happens twice. Never make a new one.
	ErrUnknownOutcome = errors.New("unknown outcome")
	// ErrUnavailable: this call has begun nothing, there was no connection. Try later, or give up safely; unless an
	// earlier call of the same gid ended in ErrUnknownOutcome, which this does not settle.
	ErrUnavailable = errors.New("unavailable")
	// ErrTimeout: Wait and Get: there was no answer in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrInvalid: it can never work; the message names the field and the limit.
	ErrInvalid = errors.New("invalid")
	// ErrAlreadyExists: the gid (or branch id) belongs to something of other content.
	ErrAlreadyExists = errors.New("already exists")
	// ErrState: the transaction's state does not allow it (Commit after its abort, say).
	ErrState = errors.New("not possible in this state")
	// ErrAborted: Execute: the transaction was aborted before this branch had an answer.
	ErrAborted = errors.New("aborted")
	// ErrNotFound: no such gid among what is retained. After ErrUnknownOutcome of a Submit this is not an abort: the
	// request may still be on its way. Submit the same Transaction again.
	ErrNotFound = errors.New("not found")
	// ErrDataLoss: the coordinator's own record is damaged. Tell an operator.
	ErrDataLoss = errors.New("data loss")
	// ErrDenied: Wait and Get: the coordinator's rules, or a proxy, do not let it pass. Other calls: ErrUnknownOutcome.
	ErrDenied = errors.New("denied")
)

// Error is what the calls of a Client return.
type Error struct {
	Kind    error  // one of the above
	GID     string // whose
	Message string
	// Of the last attempt, if there was one: a status of gRPC.
	Cause error
}

func (e *Error) Error() string {
	return fmt.Sprintf("assent: transaction %s: %v: %s", e.GID, e.Kind, e.Message)
}

// Is makes errors.Is(err, ErrUnknownOutcome) work.
func (e *Error) Is(target error) bool { return e.Kind == target }

// Unwrap is the last attempt's error.
func (e *Error) Unwrap() error { return e.Cause }
