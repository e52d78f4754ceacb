package assent

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"assent.example/sdk/assentv1"
)

// NewGID is a fresh identity: 12 hexadecimal digits of Unix time in milliseconds, then 20 random ones.
func NewGID() string {
	var random [10]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // the kernel's; it does not fail
	}
	return fmt.Sprintf("%012x%s", time.Now().UnixMilli()&0xffffffffffff, hex.EncodeToString(random[:]))
}

// Outcome is what became of a transaction.
type Outcome = assentv1.Outcome

// The outcomes.
const (
	Undecided = assentv1.Outcome_OUTCOME_UNSPECIFIED
	Committed = assentv1.Outcome_COMMITTED
	Aborted   = assentv1.Outcome_ABORTED
	Mixed     = assentv1.Outcome_MIXED  // a person resolved branches against the decision
	Hazard    = assentv1.Outcome_HAZARD // it is not known what happened in some branch
)

// WaitFor says how long Submit, Commit, Rollback and Wait wait.
type WaitFor = assentv1.WaitFor

// What is waited for.
const (
	WaitAccepted  = assentv1.WaitFor_WAIT_ACCEPTED  // it is durable, and will be driven to an end
	WaitDecided   = assentv1.WaitFor_WAIT_DECIDED   // the decision is durable: the default
	WaitCompleted = assentv1.WaitFor_WAIT_COMPLETED // every branch has carried it out
)

// BranchOption says more of a branch than protocol, service, action and payload.
type BranchOption func(*assentv1.BranchSpec)

// ID names the branch: unique within its transaction, 1 to 64 of [A-Za-z0-9._:-]. Default: "1", "2", … by position.
func ID(id string) BranchOption { return func(b *assentv1.BranchSpec) { b.BranchId = id } }

// After starts the branch when these have executed.
func After(ids ...string) BranchOption { return func(b *assentv1.BranchSpec) { b.After = ids } }

// Pivot: once this step of a Saga has succeeded the transaction commits. At most one.
func Pivot() BranchOption { return func(b *assentv1.BranchSpec) { b.Pivot = true } }

// ReceiveResults hands the branch the results of those that it comes after.
func ReceiveResults() BranchOption { return func(b *assentv1.BranchSpec) { b.ReceiveResults = true } }

// Header is passed to the handler with every operation. At most 16, keys 64 bytes, values 1024.
func Header(key, value string) BranchOption {
	return func(b *assentv1.BranchSpec) {
		if b.Headers == nil {
			b.Headers = map[string]string{}
		}
		b.Headers[key] = value
	}
}

// AttemptTimeout: one attempt that is longer counts as unknown. Default 10 s, at most one hour.
func AttemptTimeout(d time.Duration) BranchOption {
	return func(b *assentv1.BranchSpec) { b.AttemptTimeoutMs = d.Milliseconds() }
}

// FirstAsked: of a CheckBack, how long after Prepare its service is asked if Submit does not come before; then less and less often.
// Default 1 s.
func FirstAsked(d time.Duration) BranchOption {
	return func(b *assentv1.BranchSpec) { b.Retry = &assentv1.RetryPolicy{InitialBackoffMs: d.Milliseconds()} }
}

// Retry: the first wait, the ceiling of the waits, and how often the forward operation is tried (0: until the deadline).
func Retry(initial, max time.Duration, attempts uint32) BranchOption {
	return func(b *assentv1.BranchSpec) {
		b.Retry = &assentv1.RetryPolicy{
			InitialBackoffMs: initial.Milliseconds(), MaxBackoffMs: max.Milliseconds(), MaxAttempts: attempts,
		}
	}
}

// Transaction is what an initiator asks for. It has its gid from birth: to submit the same one again is the same
// transaction, and gives the same answer. That is what to do after ErrUnknownOutcome. Not to be changed once submitted.
type Transaction struct {
	spec *assentv1.TransactionSpec
}

// NewTransaction has no branches yet.
func NewTransaction() *Transaction {
	return &Transaction{spec: &assentv1.TransactionSpec{Gid: NewGID()}}
}

// GID names it, and is what it is asked for by.
func (t *Transaction) GID() string { return t.spec.Gid }

// WithGID gives it the initiator's own identity (an order number, say): 1 to 64 of [A-Za-z0-9._:-].
func (t *Transaction) WithGID(gid string) *Transaction {
	t.spec.Gid = gid
	return t
}

// TwoPhase adds a branch whose participant keeps prepared work, durable and unseen, until the decision.
func (t *Transaction) TwoPhase(service, action string, payload []byte, options ...BranchOption) *Transaction {
	return t.add(branchOf(ProtocolTwoPhase, service, action, payload, options))
}

// TCC adds a branch whose participant reserves, then consumes or releases.
func (t *Transaction) TCC(service, action string, payload []byte, options ...BranchOption) *Transaction {
	return t.add(branchOf(ProtocolTCC, service, action, payload, options))
}

// Saga adds a step that takes effect at once, and is compensated if the transaction aborts.
func (t *Transaction) Saga(service, action string, payload []byte, options ...BranchOption) *Transaction {
	return t.add(branchOf(ProtocolSaga, service, action, payload, options))
}

// CheckBack is the first step of a message without an outbox: the initiator's own local transaction, about which service is asked
// (assentsql.Enlist, Keeper.CheckBack; docs/messages.md is the guide). The steps of a Saga follow, nothing else.
func (t *Transaction) CheckBack(service, action string, options ...BranchOption) *Transaction {
	options = append([]BranchOption{FirstAsked(firstAsked)}, options...)
	step := branchOf(ProtocolSaga, service, action, nil, options)
	step.Pivot, step.CheckBack = true, true
	return t.add(step)
}

// CheckBackCall is what the service of its CheckBack is asked, for who writes by himself the row to which it would lead: Enlist of
// an adapter. ErrInvalid: it does not begin with CheckBack, or is wrong otherwise.
func (t *Transaction) CheckBackCall() (*Call, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	first := t.spec.Branches[0]
	if !first.CheckBack {
		return nil, &Error{Kind: ErrInvalid, GID: t.spec.Gid, Message: "it does not begin with CheckBack: there is nothing to ask about"}
	}
	call := &Call{GID: t.spec.Gid, BranchID: first.BranchId, Operation: OperationAction, Protocol: first.Protocol,
		Service: first.Service, Action: first.Action}
	if call.BranchID == "" {
		call.BranchID = "1"
	}
	return call, nil
}

// Label is for people and filters: assentctl list --label order=4711.
func (t *Transaction) Label(key, value string) *Transaction {
	if t.spec.Labels == nil {
		t.spec.Labels = map[string]string{}
	}
	t.spec.Labels[key] = value
	return t
}

// Deadline: aborts unless it is decided so long after it was accepted. Default 60 s, at most 7 days.
func (t *Transaction) Deadline(d time.Duration) *Transaction {
	t.spec.DeadlineMs = d.Milliseconds()
	return t
}

// Sequential: every branch follows the one before it. By default steps of a Saga do, and others start at once.
func (t *Transaction) Sequential() *Transaction {
	t.spec.Ordering = assentv1.Ordering_ORDERING_SEQUENTIAL
	return t
}

// Trace is the W3C Trace Context of whoever begins it.
func (t *Transaction) Trace(traceparent, tracestate string) *Transaction {
	t.spec.Traceparent, t.spec.Tracestate = traceparent, tracestate
	return t
}

func (t *Transaction) add(branch *assentv1.BranchSpec) *Transaction {
	t.spec.Branches = append(t.spec.Branches, branch)
	return t
}

func (t *Transaction) deadline() time.Duration {
	if t.spec.DeadlineMs > 0 {
		return time.Duration(t.spec.DeadlineMs) * time.Millisecond
	}
	return defaultDeadline
}

func branchOf(protocol Protocol, service, action string, payload []byte, options []BranchOption) *assentv1.BranchSpec {
	branch := &assentv1.BranchSpec{Protocol: protocol, Service: service, Action: action, Payload: payload}
	for _, option := range options {
		option(branch)
	}
	return branch
}

// Report is what the coordinator says of a transaction. Outcome is the decision, and final. State may still be COMMITTING
// beside Committed, or ABORTING beside Aborted: participants are being told, which goes on by itself. WaitCompleted waits
// for that, too.
type Report struct {
	GID         string
	State       assentv1.TransactionState
	Outcome     Outcome
	AbortReason string            // "branch 2 inventory/reserve refused: out of stock", …
	Results     map[string][]byte // by branch id; empty ones are left out
}

// Committed says whether every branch did, or is bound to do, its part.
func (r *Report) Committed() bool { return r.Outcome == Committed }

// Aborted says whether every branch undid, or is bound to undo, its part.
func (r *Report) Aborted() bool { return r.Outcome == Aborted }
