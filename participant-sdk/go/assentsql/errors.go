package assentsql

import (
	"errors"
	"fmt"
	"strings"
)

// What an error of the database says is read without its driver: those of PostgreSQL have SQLState, those of MariaDB begin
// their text with the number.

// stateOf an error of PostgreSQL; empty: it is none.
func stateOf(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// numberOf an error of MariaDB; 0: it is none.
func numberOf(err error) (number int) {
	for ; err != nil; err = errors.Unwrap(err) {
		if _, wrong := fmt.Sscanf(err.Error(), "Error %d", &number); wrong == nil {
			return number
		}
	}
	return 0
}

// isTransient: the database has rolled back, and to do it again may work.
func isTransient(err error) bool {
	state, number := stateOf(err), numberOf(err)
	return state == "40001" || state == "40P01" || number == 1213 || number == 1205
}

// isLocked: a row was waited for in vain (lock_timeout), or a watch has ended the wait.
func isLocked(err error) bool {
	state := stateOf(err)
	return state == "55P03" || state == "57014"
}

// isNotDone: of what makes work durable (COMMIT, PREPARE): it has certainly not happened. 40: rolled back for others,
// 23: a constraint that was deferred, 53 and 55: there is no room for one more.
func isNotDone(err error) bool {
	state := stateOf(err)
	if state != "" {
		return strings.Contains("40 23 53 55", state[:2]) && state != "40003"
	}
	switch numberOf(err) {
	case 1213, 1205, 1020, 1614:
		return true
	}
	return false
}

// lost is an error after which nobody knows what has happened.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

func lostWith(what string, err error) error { return lost{fmt.Errorf("%s: %w", what, err)} }
