package assent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"

	"assent.example/sdk/assentv1"
)

// session keeps a connection to one coordinator.
type session struct {
	p        *Participant
	endpoint string
	// Called with what its Welcome says; the link may be used as long as the session has it.
	welcomed func(endpoint string, link *grpc.ClientConn, welcome *assentv1.Welcome)
	wasOpen  bool   // the connection that has just ended
	told     string // the last failure that was logged
}

// run dials until stop ends. What it has begun is answered before it returns, or after the grace never. `ended` ends
// with the grace.
func (s *session) run(stop, ended context.Context) {
	waits := backoff{initial: s.p.options.ReconnectInitial, max: s.p.options.ReconnectMax}
	for stop.Err() == nil {
		began := time.Now()
		s.wasOpen = false
		err := s.once(stop, ended)
		if stop.Err() != nil {
			s.p.noteConnection(s.endpoint, false, nil)
			return
		}
		s.failed(err)
		if time.Since(began) >= goodConnection {
			waits.failures = 0
		}
		select {
		case <-stop.Done():
		case <-time.After(waits.next()):
		}
	}
}

// failed logs one line for each change, not for each attempt.
func (s *session) failed(err error) {
	what, why := "not connected", whyUnconnected(err, s.p.options.isSecure(s.endpoint))
	if s.wasOpen {
		what, why = "disconnected", whyEnded(err)
	}
	line := fmt.Sprintf("%s endpoint=%s reason=%q", what, s.endpoint, why)
	if s.wasOpen || line != s.told {
		s.p.log("%s", line)
	}
	s.told = line
	s.p.noteConnection(s.endpoint, false, fmt.Errorf("%s: %s", s.endpoint, why))
}

func (s *session) once(stop, ended context.Context) error {
	link, err := dial(s.p.options.Dialling, s.endpoint)
	if err != nil {
		return err
	}
	defer link.Close()
	ctx, cancel := context.WithCancel(ended)
	defer cancel()
	late := time.AfterFunc(patience, cancel)
	defer late.Stop()
	leave := context.AfterFunc(stop, cancel) // nothing was asked of us yet
	first, stream, err := s.greet(ctx, link)
	inTime := late.Stop()
	if !leave() && err == nil {
		return nil
	}
	if err != nil {
		if !inTime {
			return fmt.Errorf("no Welcome within %v; is assentd running there?", patience)
		}
		return err
	}
	if first.Welcome == nil {
		return errors.New("the coordinator does not keep to the protocol: its first frame has no Welcome")
	}
	s.wasOpen = true
	s.p.log("connected session=%s coordinator=%d epoch=%d endpoint=%s", first.Welcome.SessionId, first.Welcome.CoordinatorId,
		first.Welcome.Epoch, s.endpoint)
	open := &openSession{s: s, stream: stream, welcome: first.Welcome, asked: map[branchKey]HeldBranch{}, ctx: ctx, work: ended,
		cancel: cancel, more: make(chan struct{}, 1)}
	s.welcomed(s.endpoint, link, first.Welcome)
	s.p.noteConnection(s.endpoint, true, nil)
	return open.run(stop, first)
}

// greet says Hello, and waits for the first frame.
func (s *session) greet(ctx context.Context, link *grpc.ClientConn) (*assentv1.CoordinatorFrame, coordinatorStream, error) {
	stream, err := assentv1.NewParticipantSessionClient(link).Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := stream.Send(&assentv1.ParticipantFrame{Hello: s.p.hello()}); err != nil {
		return nil, nil, receiveError(stream, err)
	}
	first, err := stream.Recv()
	return first, stream, err
}

func receiveError(stream grpc.ClientStream, err error) error {
	if received := stream.RecvMsg(&assentv1.CoordinatorFrame{}); received != nil {
		return received
	}
	return err
}

type coordinatorStream = grpc.BidiStreamingClient[assentv1.ParticipantFrame, assentv1.CoordinatorFrame]

// openSession is one connection that was welcomed. A goroutine reads, one writes, each command has its own.
type openSession struct {
	s       *session
	stream  coordinatorStream
	welcome *assentv1.Welcome
	ctx     context.Context // the stream's
	work    context.Context // of handlers
	cancel  context.CancelFunc
	more    chan struct{} // there is something to write, or to leave

	mutex    sync.Mutex
	replies  []*assentv1.BranchReply
	queries  []*assentv1.OutcomeQuery
	asked    map[branchKey]HeldBranch
	inFlight uint32
	goodbye  bool // is to be said
	draining bool
}

func (o *openSession) run(stop context.Context, first *assentv1.CoordinatorFrame) error {
	var group sync.WaitGroup
	defer group.Wait()
	defer o.cancel()
	group.Add(2)
	go func() { defer group.Done(); o.write() }()
	go func() { defer group.Done(); o.ask() }()
	defer context.AfterFunc(stop, o.leave)()
	o.take(first)
	for {
		frame, err := o.stream.Recv()
		if err != nil {
			return err
		}
		if frame.Welcome != nil {
			return errors.New("the coordinator does not keep to the protocol: a second Welcome")
		}
		o.take(frame)
	}
}

func (o *openSession) take(frame *assentv1.CoordinatorFrame) {
	for _, command := range frame.Commands {
		o.command(command)
	}
	for _, answer := range frame.Answers {
		o.answer(answer)
	}
	if frame.Goodbye {
		o.s.p.log("coordinator says goodbye endpoint=%s", o.s.endpoint)
		o.mutex.Lock()
		o.draining = true
		o.mutex.Unlock()
		o.wake()
	}
}

func (o *openSession) command(command *assentv1.BranchCommand) {
	if !o.s.p.calls.fromOwner(o.welcome.CoordinatorId, command) {
		return // without an answer: whoever sent it must not conclude anything
	}
	o.mutex.Lock()
	full := o.inFlight >= o.s.p.options.MaxInFlight
	if full {
		o.replies = append(o.replies, replyMessage(command,
			RetryLater(fmt.Sprintf("more than %d commands are unanswered here (MaxInFlight)", o.s.p.options.MaxInFlight), 0)))
	} else {
		o.inFlight++
	}
	o.mutex.Unlock()
	if full {
		o.wake()
		return
	}
	o.s.p.running.Add(1)
	go func() {
		defer o.s.p.running.Done()
		// A handler goes on though the stream is lost: the command comes again, and gets its answer.
		reply := o.s.p.Execute(o.work, command)
		o.mutex.Lock()
		o.inFlight--
		o.replies = append(o.replies, reply)
		o.mutex.Unlock()
		o.wake()
	}()
}

// leave says goodbye: what is in flight is answered, and nothing more is taken.
func (o *openSession) leave() {
	o.mutex.Lock()
	o.goodbye, o.draining = true, true
	o.mutex.Unlock()
	o.wake()
}

func (o *openSession) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// write sends what there is, many to a frame; when it is to leave and nothing is in flight it ends its side.
func (o *openSession) write() {
	for {
		select {
		case <-o.more:
		case <-o.ctx.Done():
			return
		}
		for {
			runtime.Gosched() // handlers that are about to end share the frame
			frame, over := o.nextFrame()
			if over {
				_ = o.stream.CloseSend()
				time.AfterFunc(patience, o.cancel)
				return
			}
			if frame == nil {
				break
			}
			if o.stream.Send(frame) != nil {
				return // the reader is told why
			}
		}
	}
}

func (o *openSession) nextFrame() (frame *assentv1.ParticipantFrame, over bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	count, bytes := 0, 0
	frame = &assentv1.ParticipantFrame{Goodbye: o.goodbye}
	o.goodbye = false
	for len(o.replies) > 0 && count < maxFrameMessagesCount && bytes < maxFrameBytes {
		bytes += len(o.replies[0].Result) + len(o.replies[0].Reason) + 256
		frame.Replies = append(frame.Replies, o.replies[0])
		o.replies = o.replies[1:]
		count++
	}
	for len(o.queries) > 0 && count < maxFrameMessagesCount && !o.draining {
		frame.Queries = append(frame.Queries, o.queries[0])
		o.queries = o.queries[1:]
		count++
	}
	if frame.Goodbye || count > 0 {
		return frame, false
	}
	return nil, o.draining && o.inFlight == 0
}

// ---- Questions ----------------------------------------------------------------------------------

func (o *openSession) ask() {
	if len(o.s.p.askers) == 0 {
		return
	}
	ticker := time.NewTicker(o.s.p.options.QuestionInterval)
	defer ticker.Stop()
	for {
		for _, asker := range o.s.p.askers {
			held, err := asker.Held(o.ctx, maxQuestionsCount)
			if err != nil {
				o.s.p.log("questions failed reason=%q", err.Error())
				continue
			}
			o.question(held)
		}
		select {
		case <-ticker.C:
		case <-o.ctx.Done():
			return
		}
	}
}

func (o *openSession) question(held []HeldBranch) {
	o.mutex.Lock()
	for _, branch := range held {
		key := branchKey{branch.GID, branch.BranchID}
		if _, asked := o.asked[key]; asked || len(o.asked) >= maxQuestionsCount || o.draining {
			continue
		}
		o.asked[key] = branch
		o.queries = append(o.queries, &assentv1.OutcomeQuery{
			Gid: branch.GID, BranchId: branch.BranchID, CoordinatorId: branch.CoordinatorID, BeganEpoch: branch.BeganEpoch,
		})
	}
	o.mutex.Unlock()
	o.wake()
}

// answer: one to something that was not asked here is dropped: acting on it would trust a stranger's verdict.
func (o *openSession) answer(answer *assentv1.OutcomeAnswer) {
	key := branchKey{answer.Gid, answer.BranchId}
	o.mutex.Lock()
	branch, asked := o.asked[key]
	delete(o.asked, key)
	o.mutex.Unlock()
	if !asked || answer.Verdict == assentv1.OutcomeAnswer_VERDICT_UNSPECIFIED {
		return
	}
	for _, asker := range o.s.p.askers {
		if err := asker.Outcome(o.ctx, branch, answer.Verdict, answer.Finished); err != nil {
			o.s.p.log("outcome not carried out gid=%s branch=%s reason=%q", answer.Gid, answer.BranchId, err.Error())
		}
	}
}
