package assent

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"assent.example/sdk/assentv1"
)

// OpenTransaction is one whose branches are added one by one, each answered before the next is chosen. One goroutine at a
// time. Defer Abandon behind Begin: it rolls back what was neither committed nor rolled back.
type OpenTransaction struct {
	client    *Client
	gid       string
	deadline  time.Duration
	branches  int
	finishing bool
}

// BranchResult is what one branch of an open transaction answered.
type BranchResult struct {
	BranchID string
	Refused  bool // a business no: the whole transaction is being aborted
	ReadOnly bool
	Result   []byte
	Reason   string // why it refused
}

// Begin opens a transaction. Its gid, labels and deadline count; it has no branches yet.
func (c *Client) Begin(ctx context.Context, transaction *Transaction) (*OpenTransaction, error) {
	if len(transaction.spec.Branches) > 0 {
		return nil, &Error{Kind: ErrInvalid, GID: transaction.GID(), Message: "Begin takes a transaction without branches: Submit takes one with them"}
	}
	ctx, cancel := c.within(ctx, withoutDeadline)
	defer cancel()
	request := &assentv1.BeginRequest{Transaction: transaction.spec}
	reply, err := ask(ctx, c, call[*assentv1.BeginReply]{
		what: "Begin", gid: transaction.GID(),
		attempt: func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.BeginReply, error) {
			return s.Begin(ctx, request, o...)
		},
	})
	if err != nil {
		return nil, err
	}
	return &OpenTransaction{client: c, gid: reply.Gid, deadline: transaction.deadline()}, nil
}

// GID names it.
func (t *OpenTransaction) GID() string { return t.gid }

// TwoPhase, TCC and Saga add a branch and wait for its forward operation. On ErrUnknownOutcome the branch may have
// executed: Commit will not succeed without it, so call it again with the same ID, or Rollback.
func (t *OpenTransaction) TwoPhase(ctx context.Context, service, action string, payload []byte, options ...BranchOption) (*BranchResult, error) {
	return t.execute(ctx, branchOf(ProtocolTwoPhase, service, action, payload, options))
}

// TCC adds a branch that is tried.
func (t *OpenTransaction) TCC(ctx context.Context, service, action string, payload []byte, options ...BranchOption) (*BranchResult, error) {
	return t.execute(ctx, branchOf(ProtocolTCC, service, action, payload, options))
}

// Saga adds a step.
func (t *OpenTransaction) Saga(ctx context.Context, service, action string, payload []byte, options ...BranchOption) (*BranchResult, error) {
	return t.execute(ctx, branchOf(ProtocolSaga, service, action, payload, options))
}

func (t *OpenTransaction) execute(ctx context.Context, branch *assentv1.BranchSpec) (*BranchResult, error) {
	if branch.BranchId == "" {
		t.branches++
		branch.BranchId = fmt.Sprint(t.branches)
	}
	ctx, cancel := t.client.within(ctx, t.deadline)
	defer cancel()
	request := &assentv1.ExecuteBranchRequest{Gid: t.gid, Branch: branch}
	reply, err := ask(ctx, t.client, call[*assentv1.ExecuteBranchReply]{
		what: "branch " + branch.BranchId, gid: t.gid,
		attempt: func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.ExecuteBranchReply, error) {
			return s.ExecuteBranch(ctx, request, o...)
		},
	})
	if err != nil {
		return nil, err
	}
	return &BranchResult{
		BranchID: reply.BranchId, Refused: reply.State == assentv1.BranchState_REFUSED,
		ReadOnly: reply.State == assentv1.BranchState_READ_ONLY, Result: reply.Result, Reason: reply.Reason,
	}, nil
}

// Commit asks for the commit. On ErrUnknownOutcome call it again, or Client.Wait on the gid.
func (t *OpenTransaction) Commit(ctx context.Context) (*Report, error) {
	t.finishing = true
	request := &assentv1.CommitRequest{Gid: t.gid, WaitFor: t.client.options.Wait}
	return t.finish(ctx, "Commit", func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.SubmitReply, error) {
		return s.Commit(ctx, request, o...)
	})
}

// Rollback takes everything back.
func (t *OpenTransaction) Rollback(ctx context.Context, reason string) (*Report, error) {
	t.finishing = true
	request := &assentv1.RollbackRequest{Gid: t.gid, WaitFor: t.client.options.Wait, Reason: cleanText(reason, MaxReasonBytes)}
	return t.finish(ctx, "Rollback", func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.SubmitReply, error) {
		return s.Rollback(ctx, request, o...)
	})
}

// Abandon rolls back unless Commit or Rollback was called. It asks once, in two seconds, and does not insist: the
// transaction's deadline does the rest.
func (t *OpenTransaction) Abandon() {
	if t.finishing {
		return
	}
	t.finishing = true
	ctx, cancel := context.WithTimeout(context.Background(), rollbackOfAbandoned)
	defer cancel()
	if service, _, err := t.client.service(); err == nil {
		_, _ = service.Rollback(ctx, &assentv1.RollbackRequest{Gid: t.gid, Reason: "left without a commit", WaitFor: WaitDecided})
	}
}

func (t *OpenTransaction) finish(ctx context.Context, what string,
	attempt func(context.Context, assentv1.TransactionServiceClient, ...grpc.CallOption) (*assentv1.SubmitReply, error)) (*Report, error) {
	ctx, cancel := t.client.within(ctx, t.deadline)
	defer cancel()
	reply, err := ask(ctx, t.client, call[*assentv1.SubmitReply]{what: what, gid: t.gid, attempt: attempt})
	return reportOf(reply), err
}

// Spec is what is sent of a transaction: a copy.
func (t *Transaction) Spec() *assentv1.TransactionSpec {
	return proto.Clone(t.spec).(*assentv1.TransactionSpec)
}
