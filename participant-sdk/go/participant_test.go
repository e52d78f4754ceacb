package assent_test

import (
	"context"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentv1"
)

// An older version of a service said no to what it did not know, and the coordinator took it for a no: of what another instance had
// done and its answer was lost, or of what its initiator had committed by itself.
func TestWhoDoesNotKnowTheActionHasNotRefused(t *testing.T) {
	done := func(context.Context, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	p := assent.NewParticipant(assent.ParticipantOptions{Service: "orders"}).Saga("other", assent.Saga{Action: done, Compensate: done})
	for operation, protocol := range map[assent.Operation]assent.Protocol{
		assent.OperationAction: assent.ProtocolSaga, assent.OperationCompensate: assent.ProtocolSaga,
		assent.OperationTry: assent.ProtocolTCC, assent.OperationPrepare: assent.ProtocolTwoPhase,
	} {
		reply := p.Execute(t.Context(), &assentv1.BranchCommand{Gid: "g1", BranchId: "1", Operation: operation, Protocol: protocol, Service: "orders", Action: "placed"})
		if reply.Kind != assent.KindRetryLater || !strings.Contains(reply.Reason, "placed") {
			t.Errorf("%v: %v", operation, reply)
		}
	}
}
