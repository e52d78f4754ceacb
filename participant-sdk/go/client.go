package assent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"assent.example/sdk/assentv1"
)

// ClientOptions of a Client. The zero value is good.
type ClientOptions struct {
	Dialling
	// What Submit, Commit, Rollback and Wait wait for. Default: WaitDecided.
	Wait WaitFor
	// How long one call may take, repeats included, where its context has no deadline. 0: the transaction's deadline and
	// 10 s more, or 30 s where there is none.
	CallTimeout time.Duration
	// Gives up when a call has been failing for so long. 0: 10 s.
	GiveUpAfter time.Duration
}

// Client begins transactions, and asks what became of them. Its methods may be called from any goroutine.
type Client struct {
	options ClientOptions

	mutex   sync.Mutex
	links   map[string]*grpc.ClientConn
	current string // where the next call goes
	next    int    // of the endpoints that were given
}

// NewClient does not dial yet: the first call does. An error says which option is wrong.
func NewClient(options ClientOptions) (*Client, error) {
	options.Dialling = options.withEnvironment()
	if options.Wait == assentv1.WaitFor_WAIT_UNSPECIFIED {
		options.Wait = WaitDecided
	}
	if options.GiveUpAfter == 0 {
		options.GiveUpAfter = giveUpAfter
	}
	for _, endpoint := range options.Endpoints {
		if _, err := options.optionsFor(endpoint); err != nil {
			return nil, err
		}
	}
	return &Client{options: options, links: map[string]*grpc.ClientConn{}, current: options.Endpoints[0]}, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var failed error
	for endpoint, link := range c.links {
		failed = errors.Join(failed, link.Close())
		delete(c.links, endpoint)
	}
	return failed
}

// Submit runs the whole transaction and waits. An abort is a Report, not an error.
func (c *Client) Submit(ctx context.Context, transaction *Transaction) (*Report, error) {
	return c.SubmitFor(ctx, transaction, c.options.Wait)
}

// SubmitFor is a Submit that waits for something else than the options say.
func (c *Client) SubmitFor(ctx context.Context, transaction *Transaction, wait WaitFor) (*Report, error) {
	ctx, cancel := c.within(ctx, transaction.deadline())
	defer cancel()
	request := &assentv1.SubmitRequest{Transaction: transaction.spec, WaitFor: wait}
	reply, err := ask(ctx, c, call[*assentv1.SubmitReply]{
		what: "Submit", gid: transaction.GID(),
		attempt: func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.SubmitReply, error) {
			return s.Submit(ctx, request, o...)
		},
	})
	return reportOf(reply), err
}

// Prepare makes a message durable that begins once its initiator's local transaction has committed, and never if that does not:
// before that transaction. Submit, of the same, comes after it. ErrInvalid: it does not begin with CheckBack. As of Submit, the
// same again is the same.
func (c *Client) Prepare(ctx context.Context, message *Transaction) (*Report, error) {
	if _, err := message.CheckBackCall(); err != nil {
		return nil, err
	}
	return c.SubmitFor(ctx, message, WaitAccepted)
}

// Wait answers when the transaction gets there.
func (c *Client) Wait(ctx context.Context, gid string) (*Report, error) {
	ctx, cancel := c.within(ctx, withoutDeadline)
	defer cancel()
	request := &assentv1.WaitRequest{Gid: gid, WaitFor: c.options.Wait}
	reply, err := ask(ctx, c, call[*assentv1.SubmitReply]{
		what: "Wait", gid: gid, readOnly: true,
		attempt: func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.SubmitReply, error) {
			return s.Wait(ctx, request, o...)
		},
	})
	return reportOf(reply), err
}

// Get shows a transaction in full, with results, without payloads.
func (c *Client) Get(ctx context.Context, gid string) (*assentv1.Transaction, error) {
	ctx, cancel := c.within(ctx, withoutDeadline)
	defer cancel()
	request := &assentv1.GetRequest{Gid: gid, Results: true}
	return ask(ctx, c, call[*assentv1.Transaction]{
		what: "Get", gid: gid, readOnly: true,
		attempt: func(ctx context.Context, s assentv1.TransactionServiceClient, o ...grpc.CallOption) (*assentv1.Transaction, error) {
			return s.Get(ctx, request, o...)
		},
	})
}

func reportOf(reply *assentv1.SubmitReply) *Report {
	if reply == nil {
		return nil
	}
	return &Report{GID: reply.Gid, State: reply.State, Outcome: reply.Outcome, AbortReason: reply.AbortReason, Results: reply.Results}
}

// within gives a call its time, unless its context has one.
func (c *Client) within(ctx context.Context, deadline time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	timeout := c.options.CallTimeout
	if timeout == 0 {
		timeout = deadline + beyondDeadline
	}
	return context.WithTimeout(ctx, timeout)
}

// ---- One call, until it has an answer -----------------------------------------------------------

type call[Reply any] struct {
	what     string
	gid      string
	readOnly bool // it changes nothing: running out of time is just that
	attempt  func(context.Context, assentv1.TransactionServiceClient, ...grpc.CallOption) (Reply, error)
}

// ask repeats the attempt, here and at other coordinators, until one answers, ctx ends, or it has been failing for
// GiveUpAfter. All that it sends may be repeated: it is known by its gid.
func ask[Reply any](ctx context.Context, c *Client, what call[Reply]) (Reply, error) {
	var none Reply
	waits := backoff{initial: backoffInitial, max: backoffMax}
	maybe := false
	tried := 0 // coordinators since the last wait
	var failingSince time.Time
	for {
		service, endpoint, err := c.service()
		if err != nil {
			return none, &Error{Kind: ErrInvalid, GID: what.gid, Message: err.Error(), Cause: err}
		}
		mark := &sentMark{}
		var trailer metadata.MD
		reply, err := what.attempt(context.WithValue(ctx, sentKey{}, mark), service, grpc.Trailer(&trailer))
		if err == nil {
			return reply, nil
		}
		ended := meaningOf(err, mark.sent.Load(), ctx)
		switch ended {
		case meansAnswer:
			return none, &Error{Kind: kindOfAnswer[status.Code(err)], GID: what.gid, Message: status.Convert(err).Message(), Cause: err}
		case meansNotServed:
			if what.readOnly {
				return none, &Error{Kind: ErrDenied, GID: what.gid, Message: status.Convert(err).Message(), Cause: err}
			}
			return none, gaveUp(what.what, what.gid, true, err, whyEnded(err))
		case meansMaybeDone:
			maybe = true
		case meansOutOfTime:
			maybe = maybe || mark.sent.Load()
		case meansNotDone:
		}
		if failingSince.IsZero() {
			failingSince = time.Now()
		}
		if ended == meansOutOfTime || time.Since(failingSince) >= c.options.GiveUpAfter {
			why := whyEnded(err)
			if !mark.sent.Load() {
				why = "no connection to " + endpoint + ": " + whyUnconnected(err, c.options.isSecure(endpoint))
			}
			if what.readOnly && (maybe || ended == meansOutOfTime) {
				return none, &Error{Kind: ErrTimeout, GID: what.gid, Message: what.what + " got no answer: " + why, Cause: err}
			}
			return none, gaveUp(what.what, what.gid, maybe, err, why)
		}
		moved := c.goElsewhere(trailer)
		tried++
		if moved && tried < len(c.options.Endpoints) {
			continue
		}
		tried = 0
		pause := max(waits.next(), retryAfter(trailer))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func gaveUp(what, gid string, maybe bool, last error, why string) error {
	if maybe {
		return &Error{Kind: ErrUnknownOutcome, GID: gid, Cause: last,
			Message: what + " may or may not have been done; ask again with the same gid. Last error: " + why}
	}
	return &Error{Kind: ErrUnavailable, GID: gid, Message: what + " was not done: " + why, Cause: last}
}

func retryAfter(trailer metadata.MD) time.Duration {
	for _, text := range trailer.Get("assent-retry-after-ms") {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 {
			return min(time.Duration(ms)*time.Millisecond, maxRetryAfter)
		}
	}
	return 0
}

func (c *Client) service() (service assentv1.TransactionServiceClient, endpoint string, err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	link := c.links[c.current]
	if link == nil {
		if link, err = dial(c.options.Dialling, c.current, grpc.WithStatsHandler(sentWatch{})); err != nil {
			return nil, "", fmt.Errorf("%s: %w", c.current, err)
		}
		c.links[c.current] = link
	}
	return assentv1.NewTransactionServiceClient(link), c.current, nil
}

// goElsewhere chooses where the next attempt goes: to the one that was named, or to the next of those that were given.
// Whether there is another one. Any of them hands a call on, so a wrong choice costs time alone.
func (c *Client) goElsewhere(trailer metadata.MD) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	before := c.current
	if owner := trailer.Get("assent-owner"); len(owner) > 0 && strings.Contains(owner[0], ":") && len(c.options.Endpoints) > 1 {
		c.current = owner[0]
	} else {
		c.next = (c.next + 1) % len(c.options.Endpoints)
		c.current = c.options.Endpoints[c.next]
	}
	// Those that were named and are not among the given ones do not pile up.
	for endpoint, link := range c.links {
		if len(c.links) > maxLinksCount && endpoint != c.current {
			_ = link.Close()
			delete(c.links, endpoint)
		}
	}
	return c.current != before
}
