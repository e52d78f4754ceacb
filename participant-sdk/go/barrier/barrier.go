// Package barrier has the rules by which a branch's operations take effect once, in any order and however often they are
// asked: values in, values out. An adapter keeps one row for each branch, read and written in the same local transaction
// as the business rows. The tables are those of participant-sdk/cpp/barrier/DESIGN.md; a test holds them together.
package barrier

import (
	"fmt"

	assent "assent.example/sdk"
)

// State of a branch. Stored: never renumber.
type State int

// The states.
const (
	None      State = 0 // no row
	Refused   State = 1 // the forward operation said no; nothing happened
	Done      State = 2 // tried, or acted: in force, and may be finished or undone
	ReadOnly  State = 3 // prepared without writing anything
	Prepared  State = 4 // changes are kept aside
	Finished  State = 5 // confirmed or committed. Final
	Undone    State = 6 // cancelled, compensated or rolled back. Final
	Tombstone State = 7 // undone before its forward operation, which will be refused. Final
)

// Role of an operation in its protocol.
type Role int

// The roles.
const (
	Forward Role = 0 // PREPARE, TRY, ACTION
	Finish  Role = 1 // COMMIT, CONFIRM
	Undo    Role = 2 // ROLLBACK, CANCEL, COMPENSATE
)

// Move is what to do about an operation.
type Move int

// The moves.
const (
	Run     Move = iota // run it
	Replay              // answer as the forward operation was answered
	Repeat              // finished or undone before: done again, with the same result
	Nothing             // done: there is nothing to do
	Bury                // leave a tombstone, then done
	Refuse              // no, and RefusalFor says why
)

var moves = [8][3]Move{
	None:      {Run, Refuse, Bury},
	Refused:   {Replay, Refuse, Nothing},
	Done:      {Replay, Run, Run},
	ReadOnly:  {Replay, Nothing, Nothing},
	Prepared:  {Replay, Run, Run},
	Finished:  {Replay, Repeat, Refuse},
	Undone:    {Replay, Refuse, Repeat},
	Tombstone: {Refuse, Refuse, Nothing},
}

// MoveFor is the table.
func MoveFor(state State, role Role) Move { return moves[state][role] }

// RoleOf an operation.
func RoleOf(operation assent.Operation) Role {
	switch operation {
	case assent.OperationCommit, assent.OperationConfirm:
		return Finish
	case assent.OperationRollback, assent.OperationCancel, assent.OperationCompensate:
		return Undo
	}
	return Forward
}

func protocolOf(operation assent.Operation) assent.Protocol {
	switch operation {
	case assent.OperationPrepare, assent.OperationCommit, assent.OperationRollback:
		return assent.ProtocolTwoPhase
	case assent.OperationTry, assent.OperationConfirm, assent.OperationCancel:
		return assent.ProtocolTCC
	}
	return assent.ProtocolSaga
}

func nameOf(protocol assent.Protocol) string {
	return map[assent.Protocol]string{
		assent.ProtocolTwoPhase: "2pc", assent.ProtocolTCC: "tcc", assent.ProtocolSaga: "saga",
	}[protocol]
}

// RefusalFor is the reason given with Refuse. Where it begins with HAZARD atomicity may be lost.
func RefusalFor(state State, operation assent.Operation) string {
	twoPhase := protocolOf(operation) == assent.ProtocolTwoPhase
	switch RoleOf(operation) {
	case Forward:
		switch operation {
		case assent.OperationPrepare:
			return "rolled back before it was prepared"
		case assent.OperationAction:
			return "compensated before it was executed"
		}
		return "cancelled before it was tried"
	case Undo:
		if twoPhase {
			return "already committed"
		}
		return "already confirmed"
	}
	switch state {
	case None:
		if twoPhase {
			return "HAZARD: not prepared here"
		}
		return "nothing tried"
	case Refused:
		if twoPhase {
			return "HAZARD: not prepared here: the prepare was refused"
		}
		return "nothing tried: the try was refused"
	}
	if twoPhase {
		return "HAZARD: rolled back here"
	}
	return "already cancelled"
}

// Row is what is kept of a branch.
type Row struct {
	State        State
	Protocol     assent.Protocol
	Action       string
	First        assent.Reply // of the forward operation
	SecondResult []byte       // of the finishing or undoing one
}

// Open says what to do about a call, and, unless that is Run, what to answer.
func Open(call *assent.Call, row Row) (Move, assent.Reply) {
	if protocolOf(call.Operation) != call.Protocol {
		return Refuse, assent.Refused("not an operation of a " + nameOf(call.Protocol) + " branch")
	}
	if call.GID == "" || call.BranchID == "" {
		return Refuse, assent.Refused("gid or branch id is empty")
	}
	if row.State != None && (row.Protocol != call.Protocol || row.Action != call.Action) {
		return Refuse, assent.Refused(fmt.Sprintf("HAZARD: this branch was seen as %s %s, not %s %s",
			nameOf(row.Protocol), row.Action, nameOf(call.Protocol), call.Action))
	}
	switch move := MoveFor(row.State, RoleOf(call.Operation)); move {
	case Run:
		return move, assent.Reply{}
	case Replay:
		return move, row.First
	case Repeat:
		return move, assent.Done(row.SecondResult)
	case Nothing, Bury:
		return move, assent.Done(nil)
	}
	return Refuse, assent.Refused(RefusalFor(row.State, call.Operation))
}

// After is the state in which an operation that ran leaves its branch; None: nothing of it is kept, and it will run
// again. wrote: it changed something (of PREPARE).
func After(call *assent.Call, reply assent.Reply, wrote bool) State {
	role := RoleOf(call.Operation)
	switch reply.Kind {
	case assent.KindDone, assent.KindDoneReadOnly:
	case assent.KindRefused:
		if role == Forward {
			return Refused
		}
		return None
	default:
		return None
	}
	switch {
	case role == Finish:
		return Finished
	case role == Undo:
		return Undone
	case call.Operation != assent.OperationPrepare:
		return Done
	case !wrote:
		return ReadOnly
	case call.OnePhase:
		return Finished
	}
	return Prepared
}

// Upkeep is what to do about a row when the coordinator has said what became of its transaction.
type Upkeep int

// The kinds of upkeep.
const (
	Keep       Upkeep = iota
	CommitIt          // prepared: as COMMIT would
	RollbackIt        // prepared: as ROLLBACK would
	Orphan            // a try that nobody will ever confirm or cancel: for a person
	Forget            // when it is old, the row goes
)

// UpkeepFor a row. finished: nothing about the transaction can still arrive.
func UpkeepFor(row Row, verdict assent.Verdict, finished bool) Upkeep {
	known := verdict == assent.VerdictCommit || verdict == assent.VerdictAbort
	switch {
	case row.State == None || !known:
		return Keep
	case row.State == Prepared && verdict == assent.VerdictCommit:
		return CommitIt
	case row.State == Prepared:
		return RollbackIt
	case !finished:
		return Keep
	case row.State == Done && row.Protocol == assent.ProtocolTCC:
		return Orphan
	}
	return Forget
}
