package assent

import (
	"context"
	"sync"

	"assent.example/sdk/assentv1"
)

type branchKey struct{ gid, branch string }

// callTable holds the calls of branches. Of one branch at most one call runs at any moment, and one operation of it at
// most once: a command for an operation that runs joins it and gets its answer.
type callTable struct {
	mutex    sync.Mutex
	branches map[branchKey]*branchCalls
	epochs   map[slotKey]uint64
}

type branchCalls struct {
	turn    chan struct{} // who has put his mark in runs
	held    map[Operation]*heldCall
	waiting int
}

type heldCall struct {
	done  chan struct{}
	reply Reply
}

type slotKey struct {
	coordinator, slot uint32
}

func newCallTable() *callTable {
	return &callTable{branches: map[branchKey]*branchCalls{}, epochs: map[slotKey]uint64{}}
}

// fromOwner is false for a command of a coordinator that has lost the transaction's slot and does not know yet.
func (t *callTable) fromOwner(coordinator uint32, command *assentv1.BranchCommand) bool {
	const maxSlot = 1<<16 - 1
	if command.SlotEpoch == 0 || command.Slot > maxSlot {
		return true
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	key := slotKey{coordinator, command.Slot}
	if command.SlotEpoch < t.epochs[key] {
		return false
	}
	t.epochs[key] = command.SlotEpoch
	return true
}

func (t *callTable) run(ctx context.Context, command *assentv1.BranchCommand, handle func() Reply) Reply {
	key := branchKey{command.Gid, command.BranchId}
	t.mutex.Lock()
	branch := t.branches[key]
	if branch == nil {
		branch = &branchCalls{turn: make(chan struct{}, 1), held: map[Operation]*heldCall{}}
		t.branches[key] = branch
	}
	if running := branch.held[command.Operation]; running != nil {
		t.mutex.Unlock()
		select {
		case <-running.done:
			return running.reply
		case <-ctx.Done():
			return Reply{Kind: KindUnknown, Reason: "it is still running"}
		}
	}
	own := &heldCall{done: make(chan struct{})}
	branch.held[command.Operation] = own
	branch.waiting++
	t.mutex.Unlock()

	branch.turn <- struct{}{}
	own.reply = handle()
	<-branch.turn
	close(own.done)

	t.mutex.Lock()
	delete(branch.held, command.Operation)
	if branch.waiting--; branch.waiting == 0 {
		delete(t.branches, key)
	}
	t.mutex.Unlock()
	return own.reply
}
