package assent

import (
	"context"

	"google.golang.org/grpc"

	"assent.example/sdk/assentv1"
)

// Register has the participant served to coordinators that dial it (assentd --unary SERVICE=HOST:PORT), in place of Run.
// Its server decides about TLS and about who may call. There are no questions on this transport.
func (p *Participant) Register(server grpc.ServiceRegistrar) error {
	if p.wrong != nil {
		return p.wrong
	}
	assentv1.RegisterParticipantServer(server, unaryServer{p: p})
	return nil
}

type unaryServer struct {
	assentv1.UnimplementedParticipantServer
	p *Participant
}

// Execute does not end with the call: what the coordinator has stopped waiting for it asks again.
func (s unaryServer) Execute(ctx context.Context, command *assentv1.BranchCommand) (*assentv1.BranchReply, error) {
	return s.p.Execute(context.WithoutCancel(ctx), command), nil
}
