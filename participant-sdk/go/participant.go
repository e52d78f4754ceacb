package assent

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"runtime"
	"sort"
	"sync"
	"time"

	"assent.example/sdk/assentv1"
)

// Version of this SDK.
const Version = "0.1.0"

// ParticipantOptions of a Participant. Service is needed; the rest is good as it is.
type ParticipantOptions struct {
	Dialling
	// The name under which transactions find it: 1 to 128 of [A-Za-z0-9._:/-]. Instances may share one; those of one
	// service share one database.
	Service string
	// Tells instances apart in `assentctl participants`; at most 128 bytes. Empty: host name and process id.
	Instance string
	// Handlers that run at once. 0: four for each processor.
	Workers int
	// Commands that one coordinator may have unanswered here; it sends no more. 0: 1024.
	MaxInFlight uint32
	// The first wait before dialling again, and the longest. 0: 50 ms, 2 s.
	ReconnectInitial, ReconnectMax time.Duration
	// How often branches whose outcome somebody wants to know are asked for (Ask), and on each connection. 0: 5 s.
	QuestionInterval time.Duration
	// How long running handlers are waited for at the end. 0: 10 s. What is not answered then is asked again.
	StopGrace time.Duration
	// State changes, a line each: "connected session=… endpoint=…". Never a payload. nil: to the standard logger.
	Log func(line string)
}

// TwoPhase has the handlers of an action that is prepared, then committed or rolled back. All three are needed.
type TwoPhase struct{ Prepare, Commit, Rollback Handler }

// TCC has the handlers of an action that is tried, then confirmed or cancelled. All three are needed.
type TCC struct{ Try, Confirm, Cancel Handler }

// Saga has the handlers of a step. Without Compensate there is nothing to undo.
type Saga struct{ Action, Compensate Handler }

// HeldBranch is one whose outcome a participant wants to know, with what its command said.
type HeldBranch struct {
	GID, BranchID string
	CoordinatorID uint32
	BeganEpoch    uint64
}

// Verdict is what the coordinator says of a held branch.
type Verdict = assentv1.OutcomeAnswer_Verdict

// The verdicts.
const (
	VerdictUndecided  = assentv1.OutcomeAnswer_UNDECIDED   // keep holding
	VerdictCommit     = assentv1.OutcomeAnswer_COMMIT      // final
	VerdictAbort      = assentv1.OutcomeAnswer_ABORT       // final
	VerdictCannotTell = assentv1.OutcomeAnswer_CANNOT_TELL // keep holding, and tell a person
)

// Asker wants to know what became of branches: an adapter with prepared work, or with rows to be removed.
type Asker interface {
	// Held says which, at most max.
	Held(ctx context.Context, max int) ([]HeldBranch, error)
	// Outcome is an answer. finished: no command for the gid will ever be sent again.
	Outcome(ctx context.Context, branch HeldBranch, verdict Verdict, finished bool) error
}

// Participant owns branches of transactions. It dials the coordinators, keeps the connections, and needs no port.
// Register actions first, from one goroutine, then Run.
type Participant struct {
	options ParticipantOptions
	actions map[actionKey]map[Operation]Handler
	wrong   error
	askers  []Asker
	calls   *callTable
	workers chan struct{}
	running sync.WaitGroup // handlers of sessions

	mutex     sync.Mutex
	connected map[string]bool
	changed   chan struct{} // closed and made anew when `connected` changes
	lastError error
}

type actionKey struct {
	name     string
	protocol Protocol
}

// NewParticipant has no actions yet. What is wrong with its options is said by Run.
func NewParticipant(options ParticipantOptions) *Participant {
	options.Dialling = options.withEnvironment()
	if options.Instance == "" {
		host, _ := os.Hostname()
		options.Instance = cleanText(fmt.Sprintf("%s-%d", host, os.Getpid()), maxNameBytes)
	}
	if options.Workers == 0 {
		options.Workers = 4 * runtime.GOMAXPROCS(0)
	}
	if options.MaxInFlight == 0 {
		options.MaxInFlight = defaultMaxInFlight
	}
	if options.Log == nil {
		options.Log = func(line string) { log.Print("assent: ", line) }
	}
	setDefault(&options.ReconnectInitial, reconnectInitial)
	setDefault(&options.ReconnectMax, reconnectMax)
	setDefault(&options.QuestionInterval, questionInterval)
	setDefault(&options.StopGrace, stopGrace)
	return &Participant{
		options: options, actions: map[actionKey]map[Operation]Handler{}, calls: newCallTable(),
		workers: make(chan struct{}, options.Workers), connected: map[string]bool{}, changed: make(chan struct{}),
	}
}

func setDefault(value *time.Duration, to time.Duration) {
	if *value == 0 {
		*value = to
	}
}

// TwoPhase registers an action.
func (p *Participant) TwoPhase(action string, h TwoPhase) *Participant {
	return p.register(action, ProtocolTwoPhase, map[Operation]Handler{
		OperationPrepare: h.Prepare, OperationCommit: h.Commit, OperationRollback: h.Rollback,
	})
}

// TCC registers an action.
func (p *Participant) TCC(action string, h TCC) *Participant {
	return p.register(action, ProtocolTCC, map[Operation]Handler{
		OperationTry: h.Try, OperationConfirm: h.Confirm, OperationCancel: h.Cancel,
	})
}

// Saga registers a step.
func (p *Participant) Saga(action string, h Saga) *Participant {
	if h.Compensate == nil {
		h.Compensate = func(context.Context, *Call) (Reply, error) { return Done(nil), nil }
	}
	return p.register(action, ProtocolSaga, map[Operation]Handler{OperationAction: h.Action, OperationCompensate: h.Compensate})
}

// Ask has the coordinators asked for what became of branches.
func (p *Participant) Ask(asker Asker) *Participant {
	p.askers = append(p.askers, asker)
	return p
}

// isID is what the wire takes for a gid or a branch, without the time that a regular expression takes for each command.
func isID(text string) bool {
	if len(text) == 0 || len(text) > 64 {
		return false
	}
	for _, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '_' && c != ':' && c != '-' {
			return false
		}
	}
	return true
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,128}$`)

func (p *Participant) register(action string, protocol Protocol, handlers map[Operation]Handler) *Participant {
	key := actionKey{action, protocol}
	if !nameForm.MatchString(action) {
		p.wrong = errors.Join(p.wrong, fmt.Errorf("action %q: 1 to 128 of [A-Za-z0-9._:/-]", action))
	}
	if _, taken := p.actions[key]; taken {
		p.wrong = errors.Join(p.wrong, fmt.Errorf("%v action %q is registered twice", protocol, action))
	}
	for operation, handler := range handlers {
		if handler == nil {
			p.wrong = errors.Join(p.wrong, fmt.Errorf("action %q has no handler for %v", action, operation))
		}
	}
	p.actions[key] = handlers
	return p
}

// Run takes part until ctx ends; then it says goodbye, answers what it has, and returns nil. An unreachable coordinator is
// not an error: it is dialled until it is reached. What is wrong with the options or the actions is.
func (p *Participant) Run(ctx context.Context) error {
	wrong := p.wrong
	if !nameForm.MatchString(p.options.Service) {
		wrong = errors.Join(wrong, fmt.Errorf("service %q: 1 to 128 of [A-Za-z0-9._:/-]", p.options.Service))
	}
	if len(p.actions) == 0 {
		wrong = errors.Join(wrong, errors.New("no action is registered"))
	}
	for _, endpoint := range p.options.Endpoints {
		if _, err := p.options.optionsFor(endpoint); err != nil {
			wrong = errors.Join(wrong, err)
		}
	}
	if wrong != nil {
		return fmt.Errorf("assent: %w", wrong)
	}
	newRoster(p).run(ctx)
	return nil
}

// WaitConnected returns when at least one coordinator has welcomed it. An error says what the last attempt met.
func (p *Participant) WaitConnected(ctx context.Context) error {
	for {
		p.mutex.Lock()
		count, changed, last := len(p.connected), p.changed, p.lastError
		p.mutex.Unlock()
		if count > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("assent: no coordinator has welcomed %s", p.options.Service), last)
		}
	}
}

// Connected says which coordinators have welcomed it.
func (p *Participant) Connected() []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var endpoints []string
	for endpoint := range p.connected {
		endpoints = append(endpoints, endpoint)
	}
	sort.Strings(endpoints)
	return endpoints
}

func (p *Participant) noteConnection(endpoint string, open bool, why error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if open {
		p.connected[endpoint] = true
	} else {
		delete(p.connected, endpoint)
		p.lastError = why
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Participant) log(format string, arguments ...any) {
	p.options.Log(oneLine(fmt.Sprintf(format, arguments...), 4096))
}

func (p *Participant) hello() *assentv1.Hello {
	hello := &assentv1.Hello{
		Version: 1, Service: p.options.Service, Instance: p.options.Instance, MaxInFlight: p.options.MaxInFlight,
		Agent: "assent-go/" + Version,
	}
	for key := range p.actions {
		hello.Actions = append(hello.Actions, &assentv1.ActionInfo{Name: key.name, Protocol: key.protocol})
	}
	sort.Slice(hello.Actions, func(a, b int) bool {
		if hello.Actions[a].Name != hello.Actions[b].Name {
			return hello.Actions[a].Name < hello.Actions[b].Name
		}
		return hello.Actions[a].Protocol < hello.Actions[b].Protocol
	})
	return hello
}

// Execute runs one command as the coordinator would have it run: what a unary server and tests call. The same command
// while it runs waits for the one answer.
func (p *Participant) Execute(ctx context.Context, command *assentv1.BranchCommand) *assentv1.BranchReply {
	if !isID(command.Gid) || !isID(command.BranchId) {
		return replyMessage(command, RetryLater("ill-formed command: gid and branch are 1 to 64 of [A-Za-z0-9._:-]", 0))
	}
	return replyMessage(command, p.calls.run(ctx, command, func() Reply { return p.handle(ctx, command) }))
}

func (p *Participant) handle(ctx context.Context, command *assentv1.BranchCommand) Reply {
	select {
	case p.workers <- struct{}{}:
		defer func() { <-p.workers }()
	case <-ctx.Done():
		return RetryLater("the participant was stopped before this was begun", 0)
	}
	handler := p.actions[actionKey{command.Action, command.Protocol}][command.Operation]
	if command.Service != p.options.Service || handler == nil {
		return p.unknown(command)
	}
	if command.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(command.TimeoutMs)*time.Millisecond)
		defer cancel()
	}
	call := callOf(command)
	if !call.OnePhase || call.Operation != OperationPrepare {
		return p.invoke(ctx, handler, call)
	}
	// The sole branch: prepared and committed, one after the other.
	prepared := p.invoke(ctx, handler, call)
	if prepared.Kind != KindDone {
		return prepared
	}
	commit := *call
	commit.Operation = OperationCommit
	if done := p.invoke(ctx, p.actions[actionKey{command.Action, command.Protocol}][OperationCommit], &commit); done.Kind != KindDone {
		return Reply{Kind: KindUnknown, Reason: "prepared, and not committed yet: " + done.Reason}
	}
	return prepared
}

func (p *Participant) invoke(ctx context.Context, handler Handler, call *Call) (reply Reply) {
	defer func() {
		if what := recover(); what != nil {
			p.log("handler panicked gid=%s action=%s operation=%v reason=%q", call.GID, call.Action, call.Operation, fmt.Sprint(what))
			reply = Reply{Kind: KindUnknown, Reason: fmt.Sprintf("the handler panicked: %v", what)}
		}
	}()
	reply, err := handler(ctx, call)
	if err != nil {
		return Reply{Kind: KindUnknown, Reason: err.Error()}
	}
	return reply
}

// unknown: an action that is not here. Nobody here can tell that nothing has happened: another instance, or another version of this
// service, may have done it and its answer been lost, or its initiator has done it by itself. (What no instance offers the coordinator
// refuses by itself.)
func (p *Participant) unknown(command *assentv1.BranchCommand) Reply {
	return RetryLater(fmt.Sprintf("%s has no %v action %q", p.options.Service, command.Protocol, command.Action), 0)
}
