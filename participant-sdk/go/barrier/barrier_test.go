package barrier

import (
	"os"
	"strings"
	"testing"

	assent "assent.example/sdk"
)

// tables reads the design page: rows of cells, by the cells of the header.
func tables(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile("../../cpp/barrier/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][][]string{}
	header := ""
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") {
			header = ""
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.Trim(cell, " *"))
		}
		switch {
		case header == "":
			header = strings.Join(cells, ",")
		case strings.HasPrefix(cells[0], "---"):
		default:
			found[header] = append(found[header], cells)
		}
	}
	return found
}

var states = map[string]State{
	"no row": None, "REFUSED": Refused, "DONE": Done, "READ_ONLY": ReadOnly, "PREPARED": Prepared, "FINISHED": Finished,
	"UNDONE": Undone, "TOMBSTONE": Tombstone,
}

var moveNames = map[string]Move{
	"run": Run, "replay": Replay, "repeat": Repeat, "nothing": Nothing, "bury": Bury, "refuse": Refuse,
}

func operation(t *testing.T, name string) assent.Operation {
	t.Helper()
	for value := assent.OperationPrepare; value <= assent.OperationCompensate; value++ {
		if value.String() == name {
			return value
		}
	}
	t.Fatalf("the page has an operation %q", name)
	return 0
}

func TestMovesAreThoseOfThePage(t *testing.T) {
	rows := tables(t)["asked in state,forward,finish,undo"]
	if len(rows) != len(states) {
		t.Fatalf("the page has %d states", len(rows))
	}
	for _, row := range rows {
		for role := Forward; role <= Undo; role++ {
			want, known := moveNames[row[1+int(role)]]
			if got := MoveFor(states[row[0]], role); !known || got != want {
				t.Errorf("%s, role %d: %v, the page says %s", row[0], role, got, row[1+int(role)])
			}
		}
	}
}

func TestRefusalsAreThoseOfThePage(t *testing.T) {
	rows := tables(t)["asked,in state,reason"]
	if len(rows) == 0 {
		t.Fatal("the page has no refusals")
	}
	for _, row := range rows {
		if got := RefusalFor(states[row[1]], operation(t, row[0])); got != row[2] {
			t.Errorf("%s in %s: %q, the page says %q", row[0], row[1], got, row[2])
		}
	}
}

func TestWhatIsKeptIsWhatThePageSays(t *testing.T) {
	rows := tables(t)["ran,done,refused,retry later"]
	if len(rows) == 0 {
		t.Fatal("the page has no table of what is kept")
	}
	replies := []assent.Reply{assent.Done(nil), assent.Refused("no"), assent.RetryLater("later", 0)}
	for _, row := range rows {
		call := &assent.Call{Operation: operation(t, strings.Fields(strings.ReplaceAll(row[0], ",", ""))[0]),
			OnePhase: strings.Contains(row[0], "one phase")}
		for i, reply := range replies {
			want := states[row[1+i]] // "nothing": none
			if got := After(call, reply, !strings.Contains(row[0], "nothing written")); got != want {
				t.Errorf("%s, %v: %v, the page says %s", row[0], reply.Kind, got, row[1+i])
			}
		}
	}
}

func TestUpkeepIsThatOfThePage(t *testing.T) {
	rows := tables(t)["row,commit,abort,commit, finished,abort, finished"]
	if len(rows) == 0 {
		t.Fatal("the page has no upkeep")
	}
	names := map[string]Upkeep{"keep": Keep, "commit": CommitIt, "roll back": RollbackIt, "orphan": Orphan, "forget": Forget}
	for _, row := range rows {
		kept := Row{State: states[strings.Fields(row[0])[0]], Protocol: assent.ProtocolSaga}
		if strings.Contains(row[0], "of a try") {
			kept.Protocol = assent.ProtocolTCC
		}
		for column, verdict := range []assent.Verdict{assent.VerdictCommit, assent.VerdictAbort, assent.VerdictCommit, assent.VerdictAbort} {
			if got := UpkeepFor(kept, verdict, column >= 2); got != names[row[1+column]] {
				t.Errorf("%s, column %d: %v, the page says %s", row[0], column, got, row[1+column])
			}
		}
		for _, verdict := range []assent.Verdict{assent.VerdictUndecided, assent.VerdictCannotTell} {
			if UpkeepFor(kept, verdict, true) != Keep {
				t.Errorf("%s: %v means something", row[0], verdict)
			}
		}
	}
}

func TestAnotherActionIsAHazard(t *testing.T) {
	row := Row{State: Done, Protocol: assent.ProtocolTCC, Action: "reserve"}
	call := &assent.Call{GID: "g", BranchID: "1", Operation: assent.OperationConfirm, Protocol: assent.ProtocolTCC, Action: "charge"}
	if move, reply := Open(call, row); move != Refuse || reply.Reason != "HAZARD: this branch was seen as tcc reserve, not tcc charge" {
		t.Errorf("%v %q", move, reply.Reason)
	}
	call = &assent.Call{GID: "g", BranchID: "1", Operation: assent.OperationCommit, Protocol: assent.ProtocolTCC, Action: "reserve"}
	if move, reply := Open(call, row); move != Refuse || reply.Reason != "not an operation of a tcc branch" {
		t.Errorf("%v %q", move, reply.Reason)
	}
	call = &assent.Call{Operation: assent.OperationTry, Protocol: assent.ProtocolTCC, Action: "reserve"}
	if move, _ := Open(call, Row{}); move != Refuse {
		t.Errorf("a call without a gid: %v", move)
	}
}
