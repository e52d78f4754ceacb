package assent_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	assent "assent.example/sdk"
	"assent.example/sdk/assentv1"
)

// scripted is a coordinator that answers Submit as it is told, in turn; the last one for ever.
type scripted struct {
	assentv1.UnimplementedTransactionServiceServer
	mutex    sync.Mutex
	answers  []error // nil: committed
	requests []*assentv1.SubmitRequest
	trailer  metadata.MD
}

func (s *scripted) answer(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_ = grpc.SetTrailer(ctx, s.trailer)
	err := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return err
}

func (s *scripted) Submit(ctx context.Context, request *assentv1.SubmitRequest) (*assentv1.SubmitReply, error) {
	s.mutex.Lock()
	s.requests = append(s.requests, request)
	s.mutex.Unlock()
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	return &assentv1.SubmitReply{Gid: request.Transaction.Gid, Outcome: assent.Committed}, nil
}

func (s *scripted) Wait(ctx context.Context, request *assentv1.WaitRequest) (*assentv1.SubmitReply, error) {
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	return &assentv1.SubmitReply{Gid: request.Gid, Outcome: assent.Committed}, nil
}

func serve(t *testing.T, s *scripted) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	assentv1.RegisterTransactionServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func client(t *testing.T, options assent.ClientOptions) *assent.Client {
	t.Helper()
	c, err := assent.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func failures(all ...codes.Code) (errs []error) {
	for _, code := range all {
		errs = append(errs, status.Error(code, "as scripted"))
	}
	return errs
}

func TestWhatNobodyCanTellIsAskedAgainUnderTheSameGID(t *testing.T) {
	s := &scripted{answers: append(failures(codes.Unavailable, codes.Unknown, codes.Internal, codes.Canceled, codes.ResourceExhausted, codes.DeadlineExceeded), nil)}
	order := assent.NewTransaction().TCC("inventory", "reserve", []byte("1"))
	report, err := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{serve(t, s)}}}).Submit(t.Context(), order)
	if err != nil || !report.Committed() || report.GID != order.GID() {
		t.Fatalf("%v %v", report, err)
	}
	if len(s.requests) != 7 {
		t.Errorf("%d requests", len(s.requests))
	}
	for _, request := range s.requests[1:] {
		if !proto.Equal(request, s.requests[0]) {
			t.Errorf("another request: %v", request)
		}
	}
}

func TestWhatTheCoordinatorAnswersIsFinal(t *testing.T) {
	for code, kind := range map[codes.Code]error{
		codes.InvalidArgument: assent.ErrInvalid, codes.AlreadyExists: assent.ErrAlreadyExists, codes.FailedPrecondition: assent.ErrState,
		codes.DataLoss: assent.ErrDataLoss, codes.Aborted: assent.ErrAborted,
		codes.PermissionDenied: assent.ErrUnknownOutcome, codes.Unimplemented: assent.ErrUnknownOutcome, codes.Unauthenticated: assent.ErrUnknownOutcome,
	} {
		s := &scripted{answers: failures(code)}
		_, err := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{serve(t, s)}}}).Submit(t.Context(), assent.NewTransaction())
		if !errors.Is(err, kind) || len(s.requests) != 1 {
			t.Errorf("%v: %v after %d requests", code, err, len(s.requests))
		}
	}
}

func TestWhatWasSentAndNotAnsweredIsUnknown(t *testing.T) {
	s := &scripted{answers: failures(codes.Unavailable)}
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{serve(t, s)}}, GiveUpAfter: 100 * time.Millisecond})
	order := assent.NewTransaction()
	_, err := c.Submit(t.Context(), order)
	var failed *assent.Error
	if !errors.Is(err, assent.ErrUnknownOutcome) || !errors.As(err, &failed) || failed.GID != order.GID() {
		t.Errorf("%v", err)
	}
	if _, err = c.Wait(t.Context(), order.GID()); !errors.Is(err, assent.ErrTimeout) {
		t.Errorf("Wait changes nothing: %v", err)
	}
}

func TestWithoutAConnectionNothingWasBegun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{nobody}}, GiveUpAfter: 100 * time.Millisecond})
	if _, err = c.Submit(t.Context(), assent.NewTransaction()); !errors.Is(err, assent.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestAnotherCoordinatorIsAsked(t *testing.T) {
	there := &scripted{answers: []error{nil}}
	here := &scripted{answers: failures(codes.Unavailable), trailer: metadata.Pairs("assent-owner", serve(t, there))}
	other := &scripted{answers: failures(codes.Unavailable)}
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{serve(t, here), serve(t, other)}}})
	if _, err := c.Submit(t.Context(), assent.NewTransaction()); err != nil || len(here.requests) != 1 || len(other.requests) != 0 || len(there.requests) != 1 {
		t.Errorf("%v: %d, %d, %d requests", err, len(here.requests), len(other.requests), len(there.requests))
	}
}

func TestWhatCannotWorkIsSaidAtOnce(t *testing.T) {
	for _, wrong := range []assent.Dialling{
		{Endpoints: []string{"192.0.2.1:7400"}, Token: "secret"},
		{CertFile: "a.pem", CAFile: "/dev/null"},
		{CAFile: "/nowhere/ca.pem"},
		{CAFile: "/dev/null"},
	} {
		if _, err := assent.NewClient(assent.ClientOptions{Dialling: wrong}); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
	p := assent.NewParticipant(assent.ParticipantOptions{Service: "a b"}).TCC("x", assent.TCC{}).Saga("x", assent.Saga{})
	if err := p.Run(t.Context()); err == nil {
		t.Error("a participant without handlers runs")
	}
	if _, err := client(t, assent.ClientOptions{}).Begin(t.Context(), assent.NewTransaction().Saga("a", "b", nil)); !errors.Is(err, assent.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestWhatBeginsWithCheckBackIsPreparedAndNothingElse(t *testing.T) {
	s := &scripted{answers: []error{nil}}
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{serve(t, s)}}})
	late := assent.NewTransaction().Saga("shipping", "book", nil).CheckBack("orders", "placed")
	for _, wrong := range []*assent.Transaction{assent.NewTransaction(), assent.NewTransaction().Saga("shipping", "book", nil), late} {
		if _, err := c.Prepare(t.Context(), wrong); !errors.Is(err, assent.ErrInvalid) || len(s.requests) != 0 {
			t.Errorf("%v, %d requests", err, len(s.requests))
		}
	}
	ship := assent.NewTransaction().CheckBack("orders", "placed", assent.FirstAsked(3*time.Second)).Saga("shipping", "book", []byte("7"))
	if _, err := c.Prepare(t.Context(), ship); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), ship); err != nil {
		t.Fatal(err)
	}
	want := &assentv1.BranchSpec{Protocol: assent.ProtocolSaga, Service: "orders", Action: "placed", Pivot: true, CheckBack: true,
		Retry: &assentv1.RetryPolicy{InitialBackoffMs: 3000}}
	prepared, submitted := s.requests[0], s.requests[1]
	if prepared.WaitFor != assent.WaitAccepted || submitted.WaitFor != assent.WaitDecided || !proto.Equal(prepared.Transaction.Branches[0], want) ||
		!proto.Equal(prepared.Transaction, submitted.Transaction) {
		t.Errorf("%v, %v", prepared, submitted)
	}
	usual := assent.NewTransaction().CheckBack("orders", "placed", assent.ID("order")).Saga("shipping", "book", nil)
	call, err := usual.CheckBackCall()
	if _, failed := c.Prepare(t.Context(), usual); failed != nil || err != nil || call.BranchID != "order" ||
		s.requests[2].Transaction.Branches[0].Retry.InitialBackoffMs != 1000 {
		t.Errorf("%v, %v, %v", err, call, s.requests[2])
	}
}

func TestOnlyThePivotIsCheckedBack(t *testing.T) {
	data, err := proto.Marshal(&assentv1.SubmitRequest{Transaction: &assentv1.TransactionSpec{Gid: "g1", Branches: []*assentv1.BranchSpec{
		{Protocol: assent.ProtocolSaga, Service: "orders", Action: "placed", CheckBack: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	message, err := assent.DecodeTransaction(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := message.Check(); !errors.Is(err, assent.ErrInvalid) || !strings.Contains(err.Error(), "branches[0].check_back is set, but only the pivot") {
		t.Errorf("%v", err)
	}
}
