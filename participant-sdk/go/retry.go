package assent

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// backoff draws waits between attempts: exponential, capped, with full jitter.
type backoff struct {
	initial, max time.Duration
	failures     int
}

func (b *backoff) next() time.Duration {
	ceiling := min(b.max, b.initial<<min(b.failures, 20))
	b.failures++
	return time.Millisecond + rand.N(max(ceiling, time.Millisecond))
}

// meaning is what may be concluded from how an attempt ended.
type meaning int

const (
	meansAnswer    meaning = iota // final: it is what the coordinator says
	meansNotDone                  // it never left
	meansMaybeDone                // nobody can say: ask again, with the same identity
	meansNotServed                // nobody can say, and asking again will not help
	meansOutOfTime                // our own deadline
)

// meaningOf trusts a code as far as nobody else makes it up: what a library or a proxy can say by itself tells nothing of
// what became of the request, whatever its words. sent: its bytes may have reached a coordinator.
func meaningOf(err error, sent bool, ctx context.Context) meaning {
	code := status.Code(err)
	if ctx.Err() != nil && code != codes.OK {
		return meansOutOfTime
	}
	if !sent {
		return meansNotDone
	}
	switch code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted,
		codes.DataLoss:
		return meansAnswer
	case codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return meansNotServed
	}
	return meansMaybeDone
}

var kindOfAnswer = map[codes.Code]error{
	codes.InvalidArgument: ErrInvalid, codes.NotFound: ErrNotFound, codes.AlreadyExists: ErrAlreadyExists,
	codes.FailedPrecondition: ErrState, codes.Aborted: ErrAborted, codes.DataLoss: ErrDataLoss,
}

// sentMark is set when the headers of a call have left this process: only our own side's knowledge says that nothing was
// sent, never what a status says.
type sentMark struct{ sent atomic.Bool }

type sentKey struct{}

// sentWatch marks calls that have left. It is a handler of gRPC's statistics, which are told of each attempt, also of
// those that gRPC makes by itself.
type sentWatch struct{}

func (sentWatch) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentWatch) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutHeader); !ok {
		return
	}
	if mark, ok := ctx.Value(sentKey{}).(*sentMark); ok {
		mark.sent.Store(true)
	}
}

func (sentWatch) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentWatch) HandleConn(context.Context, stats.ConnStats) {}
