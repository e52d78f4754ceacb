package assent_test

import (
	"context"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentv1"
)

// What is no gid and no branch is answered without a handler: an adapter would keep it.
func TestExecuteTakesWhatTheWireTakes(t *testing.T) {
	done := func(context.Context, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	p := assent.NewParticipant(assent.ParticipantOptions{Service: "s"}).Saga("a", assent.Saga{Action: done})
	for id, kind := range map[string]assent.ReplyKind{
		"a": assent.KindDone, "AZaz09._:-": assent.KindDone, strings.Repeat("x", 64): assent.KindDone,
		"": assent.KindRetryLater, strings.Repeat("x", 65): assent.KindRetryLater, "a b": assent.KindRetryLater,
		"a/b": assent.KindRetryLater, "ä": assent.KindRetryLater, "a\n": assent.KindRetryLater, "a'": assent.KindRetryLater,
		"@": assent.KindRetryLater, "[": assent.KindRetryLater, "`": assent.KindRetryLater, "{": assent.KindRetryLater,
		";": assent.KindRetryLater,
	} {
		for _, command := range []*assentv1.BranchCommand{{Gid: id, BranchId: "1"}, {Gid: "g", BranchId: id}} {
			command.Service, command.Action, command.Protocol, command.Operation = "s", "a", assent.ProtocolSaga, assent.OperationAction
			if reply := p.Execute(context.Background(), command); reply.Kind != kind {
				t.Errorf("gid %q, branch %q: %v, not %v", command.Gid, command.BranchId, reply.Kind, kind)
			}
		}
	}
}
