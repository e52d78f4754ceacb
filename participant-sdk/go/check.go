package assent

import (
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"assent.example/sdk/assentv1"
)

// Check says what is wrong with it before anything is sent, as the coordinator would: the first field that it would not take, and
// the limit. Cycles of branches are left to the coordinator.
func (t *Transaction) Check() error {
	c := checks{gid: t.spec.Gid}
	c.name("gid", t.spec.Gid, maxGIDBytes, idRule)
	if len(t.spec.Branches) == 0 {
		c.fail("branches: a transaction needs at least one")
	}
	c.atMost("branches", len(t.spec.Branches), maxBranchesCount, "branches")
	c.times("deadline", t.spec.DeadlineMs, maxDeadline)
	c.pairs("labels", t.spec.Labels, maxLabelsCount, maxLabelValueBytes)
	c.trace(t.spec.Traceparent, t.spec.Tracestate)
	bytes := 0
	for i, branch := range t.spec.Branches {
		c.branch(fmt.Sprintf("branches[%d]", i), branch)
		bytes += len(branch.Payload)
		for key, value := range branch.Headers {
			bytes += len(key) + len(value)
		}
	}
	c.atMost("payloads and headers together", bytes, maxTransactionBytes, "bytes")
	c.graph(t.spec.Branches)
	return c.wrong
}

// Encode is what an outbox keeps of it: a serialised assent.v1.SubmitRequest, checked. A gid is made where there is none.
func (t *Transaction) Encode() ([]byte, error) {
	if t.spec.Gid == "" {
		t.spec.Gid = NewGID()
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&assentv1.SubmitRequest{Transaction: t.spec})
	if err != nil {
		return nil, &Error{Kind: ErrInvalid, GID: t.spec.Gid, Message: err.Error(), Cause: err}
	}
	return data, nil
}

// DecodeTransaction reads what Encode, of whatever language, has made.
func DecodeTransaction(data []byte) (*Transaction, error) {
	var request assentv1.SubmitRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return nil, &Error{Kind: ErrInvalid, Message: "it is no assent.v1.SubmitRequest: " + err.Error(), Cause: err}
	}
	if request.Transaction == nil {
		return nil, &Error{Kind: ErrInvalid, Message: "it is an assent.v1.SubmitRequest without a transaction"}
	}
	return &Transaction{spec: request.Transaction}, nil
}

var (
	idRule        = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)
	nameRule      = regexp.MustCompile(`^[A-Za-z0-9._:/-]+$`)
	isTraceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)
	isTracestate  = regexp.MustCompile(`^[ -~]*$`)
)

// checks keep the first thing that is wrong.
type checks struct {
	gid   string
	wrong error
}

func (c *checks) fail(format string, arguments ...any) {
	if c.wrong == nil {
		c.wrong = &Error{Kind: ErrInvalid, GID: cleanText(c.gid, maxGIDBytes), Message: fmt.Sprintf(format, arguments...)}
	}
}

func (c *checks) branch(place string, b *assentv1.BranchSpec) {
	if b.BranchId != "" {
		c.name(place+".id", b.BranchId, maxBranchIDBytes, idRule)
	}
	c.name(place+".service", b.Service, maxNameBytes, nameRule)
	c.name(place+".action", b.Action, maxNameBytes, nameRule)
	c.atMost(place+".payload", len(b.Payload), MaxPayloadBytes, "bytes")
	if b.Pivot && b.Protocol != ProtocolSaga {
		c.fail("%s.pivot is set, but only a Saga step can be the pivot", place)
	}
	if b.CheckBack && !b.Pivot {
		c.fail("%s.check_back is set, but only the pivot, as the first step, can be checked back", place)
	}
	c.times(place+".initial backoff", b.Retry.GetInitialBackoffMs(), maxBranchTime)
	c.times(place+".max backoff", b.Retry.GetMaxBackoffMs(), maxBranchTime)
	c.atMost(place+".attempts", int(b.Retry.GetMaxAttempts()), maxAttemptsCount, "attempts")
	c.times(place+".attempt timeout", b.AttemptTimeoutMs, maxBranchTime)
	c.pairs(place+".headers", b.Headers, maxHeadersCount, maxHeaderValueBytes)
}

func (c *checks) name(field, name string, limit int, rule *regexp.Regexp) {
	if len(name) > limit || !rule.MatchString(name) {
		allowed := rule.String()
		c.fail("%s is %q; it takes 1 to %d of %s", field, cleanText(name, limit), limit, allowed[1:len(allowed)-2])
	}
}

func (c *checks) atMost(field string, count, limit int, unit string) {
	if count > limit {
		c.fail("%s has %d %s; at most %d", field, count, unit, limit)
	}
}

func (c *checks) times(field string, ms int64, limit time.Duration) {
	if ms < 0 || ms > limit.Milliseconds() {
		c.fail("%s is %d ms; it must be 0 to %d", field, ms, limit.Milliseconds())
	}
}

func (c *checks) pairs(field string, pairs map[string]string, count, valueBytes int) {
	c.atMost(field, len(pairs), count, "entries")
	for key, value := range pairs {
		c.name(field+" key", key, maxKeyBytes, nameRule)
		c.atMost(fmt.Sprintf("%s value of %q", field, key), len(value), valueBytes, "bytes")
		if !utf8.ValidString(value) {
			c.fail("%s value of %q is not UTF-8; binary data belongs into the payload", field, key)
		}
	}
}

func (c *checks) trace(traceparent, tracestate string) {
	if traceparent != "" && !isTraceparent.MatchString(traceparent) {
		c.fail("traceparent is %q; it takes what W3C Trace Context calls so", cleanText(traceparent, maxNameBytes))
	}
	if traceparent == "" && tracestate != "" {
		c.fail("tracestate is set, and traceparent is not")
	}
	if len(tracestate) > maxTracestateBytes || !isTracestate.MatchString(tracestate) {
		c.fail("tracestate has %d bytes; at most %d of printable ASCII", len(tracestate), maxTracestateBytes)
	}
}

// graph: ids are unique, After names branches that exist, at most one pivot.
func (c *checks) graph(branches []*assentv1.BranchSpec) {
	ids := map[string]bool{}
	idOf := func(i int) string {
		if branches[i].BranchId != "" {
			return branches[i].BranchId
		}
		return fmt.Sprint(i + 1)
	}
	pivots := 0
	for i, branch := range branches {
		if ids[idOf(i)] {
			c.fail("branches[%d].id %q is taken by an earlier branch", i, idOf(i))
		}
		ids[idOf(i)] = true
		if branch.Pivot {
			pivots++
		}
	}
	c.atMost("branches", pivots, 1, "pivots")
	for i, branch := range branches {
		for _, before := range branch.After {
			if !ids[before] || before == idOf(i) {
				c.fail("branches[%d].after names %q, which is no other branch of this transaction", i, cleanText(before, maxBranchIDBytes))
			}
		}
	}
}
