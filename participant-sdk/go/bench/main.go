// What `tools/measure.sh languages` measures of Go: a participant that has nothing to do, and plain echo by grpc-go.
//
//	bench session ENDPOINT    a participant of the service bench-0, which dials
//	bench unary LISTEN        the same, dialled
//	bench echo LISTEN         gives each message back as it came, unary and over a stream
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"

	assent "assent.example/sdk"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("bench session ENDPOINT, or bench unary|echo LISTEN")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch os.Args[1] {
	case "session":
		session(ctx, os.Args[2])
	case "unary":
		server := grpc.NewServer()
		must(participant("").Register(server))
		serve(ctx, server, os.Args[2])
	case "echo":
		server := grpc.NewServer(grpc.ForceServerCodec(asItIs{}))
		server.RegisterService(&echo, nil)
		serve(ctx, server, os.Args[2])
	}
}

func participant(endpoint string) *assent.Participant {
	options := assent.ParticipantOptions{Service: "bench-0"}
	if endpoint != "" {
		options.Endpoints = []string{endpoint}
	}
	done := func(context.Context, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	return assent.NewParticipant(options).TCC("act", assent.TCC{Try: done, Confirm: done, Cancel: done})
}

func session(ctx context.Context, endpoint string) {
	p := participant(endpoint)
	go func() {
		must(p.WaitConnected(ctx))
		os.Stdout.WriteString("ready\n")
	}()
	must(p.Run(ctx))
}

func serve(ctx context.Context, server *grpc.Server, listen string) {
	listener, err := net.Listen("tcp", listen)
	must(err)
	context.AfterFunc(ctx, server.Stop)
	os.Stdout.WriteString("ready\n")
	must(server.Serve(listener))
}

var echo = grpc.ServiceDesc{
	ServiceName: "assent.bench.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Unary",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var message []byte
			err := decode(&message)
			return message, err
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Stream", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			for {
				var message []byte
				if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := stream.SendMsg(message); err != nil {
					return err
				}
			}
		},
	}},
}

// asItIs is the codec of bytes that nobody looks into.
type asItIs struct{}

func (asItIs) Name() string { return "bytes" }

func (asItIs) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (asItIs) Unmarshal(data []byte, into any) error {
	*into.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func must(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}
