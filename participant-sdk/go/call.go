package assent

import (
	"context"
	"time"

	"assent.example/sdk/assentv1"
)

// Protocol says how a branch is driven.
type Protocol = assentv1.Protocol

// The protocols. They belong to branches, so that one transaction may mix them.
const (
	ProtocolTwoPhase = assentv1.Protocol_TWO_PHASE // prepare, then commit or rollback
	ProtocolTCC      = assentv1.Protocol_TCC       // try, then confirm or cancel
	ProtocolSaga     = assentv1.Protocol_SAGA      // action, and compensate if the transaction aborts
)

// Operation is what a branch is asked to do.
type Operation = assentv1.Operation

// The operations.
const (
	OperationPrepare    = assentv1.Operation_PREPARE
	OperationCommit     = assentv1.Operation_COMMIT
	OperationRollback   = assentv1.Operation_ROLLBACK
	OperationTry        = assentv1.Operation_TRY
	OperationConfirm    = assentv1.Operation_CONFIRM
	OperationCancel     = assentv1.Operation_CANCEL
	OperationAction     = assentv1.Operation_ACTION
	OperationCompensate = assentv1.Operation_COMPENSATE
)

// Call is one operation asked of one branch. The same (GID, BranchID, Operation) may be asked again.
type Call struct {
	GID       string
	BranchID  string
	Operation Operation
	Protocol  Protocol
	Service   string
	Action    string
	Payload   []byte            // the initiator's bytes, the same for each operation of the branch
	Results   map[string][]byte // of the branches this one comes after, if the initiator wants that
	Headers   map[string]string
	Attempt   uint32 // for logs; never decide anything by it
	// Of a prepare: the sole branch of its transaction; prepare and commit in one local transaction.
	OnePhase bool
	Timeout  time.Duration // how long the coordinator waits for the reply
	// Kept beside prepared work, and handed back when asking for the outcome.
	CoordinatorID uint32
	BeganEpoch    uint64
	BeganUnixMS   int64 // the transaction's age, only to be compared; 0: not known
	// W3C Trace Context: what the handler does belongs under this span. Empty: none.
	Traceparent string
	Tracestate  string
}

// ReplyKind is what a Reply says.
type ReplyKind = assentv1.BranchReply_Kind

// The kinds of replies.
const (
	// KindUnknown: it may have happened or not. The coordinator asks again.
	KindUnknown      = assentv1.BranchReply_KIND_UNSPECIFIED
	KindDone         = assentv1.BranchReply_DONE
	KindDoneReadOnly = assentv1.BranchReply_DONE_READ_ONLY
	KindRefused      = assentv1.BranchReply_REFUSED
	KindRetryLater   = assentv1.BranchReply_RETRY_LATER
)

// Reply answers a Call.
type Reply struct {
	Kind       ReplyKind
	Result     []byte        // KindDone of a forward operation; at most 256 KiB
	Reason     string        // why not, for people; cut at 1024 bytes
	RetryAfter time.Duration // KindRetryLater: not before; 0: the branch's own backoff
	BlockedBy  string        // KindRetryLater, of adapters: the transaction whose prepared work is in the way
}

// Done says that it has happened, durably. The result reaches the initiator, and the branches after this one.
func Done(result []byte) Reply { return Reply{Kind: KindDone, Result: result} }

// DoneReadOnly is a yes to a prepare that has written nothing: neither commit nor rollback will follow.
func DoneReadOnly(result []byte) Reply { return Reply{Kind: KindDoneReadOnly, Result: result} }

// Refused is a business no. It is final, and nothing has happened.
func Refused(reason string) Reply { return Reply{Kind: KindRefused, Reason: reason} }

// RetryLater says that nothing has happened yet, and to ask again (0: after the branch's own backoff).
func RetryLater(reason string, after time.Duration) Reply {
	return Reply{Kind: KindRetryLater, Reason: reason, RetryAfter: after}
}

// Handler runs one operation. It may be called from several goroutines at once, but never twice at a time for one branch
// by one participant. An error (or a panic) says that nobody can tell whether it has happened: the coordinator asks again.
// ctx ends when the coordinator has stopped waiting, or the participant's time to stop is over.
type Handler func(ctx context.Context, call *Call) (Reply, error)

func callOf(command *assentv1.BranchCommand) *Call {
	return &Call{
		GID: command.Gid, BranchID: command.BranchId, Operation: command.Operation, Protocol: command.Protocol,
		Service: command.Service, Action: command.Action, Payload: command.Payload, Results: command.Results,
		Headers: command.Headers, Attempt: command.Attempt, OnePhase: command.OnePhase,
		Timeout:       time.Duration(command.TimeoutMs) * time.Millisecond,
		CoordinatorID: command.CoordinatorId, BeganEpoch: command.BeganEpoch, BeganUnixMS: command.BeganUnixMs,
		Traceparent: command.Traceparent, Tracestate: command.Tracestate,
	}
}

func replyMessage(command *assentv1.BranchCommand, reply Reply) *assentv1.BranchReply {
	message := &assentv1.BranchReply{
		Gid: command.Gid, BranchId: command.BranchId, Operation: command.Operation, CommandId: command.CommandId,
		Kind: reply.Kind, Reason: cleanText(reply.Reason, MaxReasonBytes),
	}
	forward := isForward(command.Operation)
	switch reply.Kind {
	case KindDone, KindDoneReadOnly:
		message.Reason = ""
		if forward {
			message.Result = reply.Result
		}
		if len(message.Result) > MaxResultBytes {
			// The work is done: a refusal would be a lie. It is asked again, and a person reads why.
			message.Kind, message.Result = KindUnknown, nil
			message.Reason = "the handler's result is larger than 256 KiB"
		}
	case KindRetryLater:
		message.RetryAfterMs = reply.RetryAfter.Milliseconds()
		message.BlockedByGid = reply.BlockedBy
	}
	return message
}

func isForward(operation Operation) bool {
	return operation == OperationPrepare || operation == OperationTry || operation == OperationAction
}
