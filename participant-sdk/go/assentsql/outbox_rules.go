package assentsql

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	assent "assent.example/sdk"
)

// fate of a row that was taken.
type fate int

const (
	goes  fate = iota // it was answered
	waits             // it is handed over again
	parks             // for a person
)

// settled is what a coordinator, or nobody, has said of a row.
type settled struct {
	row         taken
	fate        fate
	why         string
	after       time.Duration // of waits
	isUntouched bool          // it is still certain that no coordinator has ever seen it
	isAway      bool          // no coordinator could be talked to
}

const (
	rowBackoffInitial = 100 * time.Millisecond
	rowBackoffMax     = 30 * time.Second
	notComplete       = "accepted, not complete yet"
	forgotten         = "it may have run and been forgotten: it was first handed over longer ago than the coordinator may remember, " +
		"and the coordinator does not know it. Look at what it should have done, then retry it or drop it"
)

// backoffOf the nth failure in a row: doubled each time, and half of it drawn.
func backoffOf(failures int, initial, most time.Duration) time.Duration {
	ceiling := min(most, initial<<min(max(failures-1, 0), 20))
	return ceiling/2 + rand.N(ceiling/2+1)
}

// fateOf a row by the error of the call that handed it over. Only what the coordinator itself says parks it: a client that cannot
// read its certificate has an invalid argument, too.
func fateOf(row taken, err error) settled {
	s := settled{row: row, fate: goes}
	if err == nil {
		return s
	}
	s.why = err.Error()
	var said *assent.Error
	if errors.As(err, &said) {
		s.why = fmt.Sprintf("%v: %s", said.Kind, said.Message)
		switch code := status.Code(said.Cause); {
		case said.Kind == assent.ErrInvalid && code == codes.InvalidArgument, said.Kind == assent.ErrAlreadyExists && code == codes.AlreadyExists:
			s.fate = parks
			return s
		}
	}
	s.fate = waits
	s.after = backoffOf(row.attempts, rowBackoffInitial, rowBackoffMax)
	s.isUntouched = row.isFirst && errors.Is(err, assent.ErrUnavailable)
	s.isAway = errors.Is(err, assent.ErrUnavailable) || errors.Is(err, assent.ErrUnknownOutcome) || errors.Is(err, assent.ErrTimeout) ||
		errors.Is(err, assent.ErrDenied)
	return s
}
