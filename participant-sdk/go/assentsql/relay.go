package assentsql

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	assent "assent.example/sdk"
)

// RelayOptions of a Relay. The zero value is good.
type RelayOptions struct {
	// Rows that are under way at once. 0: 256.
	Batch int
	// How often an idle relay looks. 0: 200 ms.
	Interval time.Duration
	// A row that was first handed over longer ago, and never answered, is asked for before it is handed over again. Has to be shorter
	// than what the coordinator retains (--retention-hours). 0: 12 h.
	RetentionGuard time.Duration
	// How long Run waits, when its context has ended, for what is under way. 0: 10 s.
	StopGrace time.Duration
	// Told of each change of state, and once a minute of what a person should look at. Default: the standard logger.
	Log func(line string)
}

const (
	defaultBatch     = 256
	defaultInterval  = 200 * time.Millisecond
	defaultGuard     = 12 * 60 * time.Minute
	defaultStopGrace = 10 * time.Second

	handOverTimeout = 30 * time.Second // of one call; shorter than the lease
	localTimeout    = 10 * time.Second // of one local transaction
	awayMax         = 2 * time.Second  // between two turns while nothing can be reached
	reportEvery     = 60 * time.Second
	oldAge          = 60 * time.Second
	lookShare       = 10 // a look takes at most one part in so many of an idle relay's time
)

// Relay hands what an Outbox has to a coordinator. Any number of them, in any languages, may be at one table.
type Relay struct {
	outbox  *Outbox
	client  *assent.Client
	options RelayOptions

	awake      chan struct{}
	handedOver atomic.Int64
	failed     atomic.Int64
	parked     atomic.Int64
}

// NewRelay does nothing before Run.
func NewRelay(outbox *Outbox, client *assent.Client, options RelayOptions) *Relay {
	if options.Batch == 0 {
		options.Batch = defaultBatch
	}
	if options.Interval == 0 {
		options.Interval = defaultInterval
	}
	if options.RetentionGuard == 0 {
		options.RetentionGuard = defaultGuard
	}
	if options.StopGrace == 0 {
		options.StopGrace = defaultStopGrace
	}
	if options.Log == nil {
		options.Log = func(line string) { log.Print("assent: ", line) }
	}
	return &Relay{outbox: outbox, client: client, options: options, awake: make(chan struct{}, 1)}
}

// Wake has it look at once: after the commit of a local transaction that has published, say.
func (r *Relay) Wake() {
	select {
	case r.awake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run relays until ctx ends: then it takes no more, and waits for what is under way, for StopGrace. What is not answered stays in
// the table, and is due.
func (r *Relay) Run(ctx context.Context) {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	run := &running{Relay: r, calls: calls, answers: make(chan settled, r.options.Batch)}
	for ctx.Err() == nil {
		run.step(ctx)
	}
	run.isStopping = true
	grace := time.AfterFunc(r.options.StopGrace, cancel)
	defer grace.Stop()
	for run.underWay > 0 {
		run.answered(<-run.answers)
	}
	run.settle(context.WithoutCancel(ctx))
	run.group.Wait()
}

// running is what one Run knows; one goroutine has it.
type running struct {
	*Relay
	calls   context.Context // that are under way
	group   sync.WaitGroup
	answers chan settled

	underWay      int
	keyedUnderWay int
	bytesUnderWay int
	unsettled     []settled
	cursor        string // the last key that was looked at

	lookAt   time.Time // not before
	reportAt time.Time
	away     int // turns that have failed, one after the other
	said     string

	isStopping bool
}

// step waits until there is something to do, and does it.
func (r *running) step(ctx context.Context) {
	timer := time.NewTimer(max(time.Until(r.lookAt), 0))
	defer timer.Stop()
	due := timer.C
	if len(r.unsettled) == 0 && (r.room() <= 0 || r.bytesUnderWay >= maxTurnBytes) {
		due = nil
	}
	select {
	case <-ctx.Done():
		return
	case answer := <-r.answers:
		r.answered(answer)
	case <-r.awake:
		if r.away == 0 {
			r.lookAt = time.Time{}
		}
	case <-due:
	}
	for more := true; more; { // what has come in meanwhile goes with it
		select {
		case answer := <-r.answers:
			r.answered(answer)
		default:
			more = false
		}
	}
	if time.Now().Before(r.lookAt) && (len(r.unsettled) == 0 || r.away > 0) {
		return
	}
	r.settle(ctx)
	if len(r.unsettled) == 0 && !time.Now().Before(r.lookAt) {
		r.takeMore(ctx)
		r.report(ctx)
	}
}

func (r *running) room() int { return r.options.Batch - r.underWay }

func (r *running) answered(answer settled) {
	r.underWay--
	r.bytesUnderWay -= len(answer.row.request)
	if answer.row.key.Valid {
		r.keyedUnderWay--
	}
	answer.row.request = nil
	r.unsettled = append(r.unsettled, answer)
}

// settle writes down what has come in.
func (r *running) settle(ctx context.Context) {
	if len(r.unsettled) == 0 {
		return
	}
	local, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	if err := r.outbox.settle(local, r.unsettled); err != nil {
		r.failing("its database cannot be written: " + err.Error())
		return
	}
	isAway := true
	for _, one := range r.unsettled {
		isAway = isAway && one.isAway
		switch one.fate {
		case goes:
			r.handedOver.Add(1)
		case parks:
			r.parked.Add(1)
			r.options.Log(fmt.Sprintf("outbox: parked gid=%s: %s", one.row.gid, cut(one.why)))
		case waits:
			if one.why != notComplete {
				r.failed.Add(1)
			}
		}
		if one.row.key.Valid && (one.fate == goes || one.why == notComplete) {
			r.lookAt = time.Time{} // the next one of its key
		}
	}
	switch {
	case r.isStopping:
	case isAway:
		r.failing("nothing is handed over: " + r.unsettled[0].why)
	default:
		r.works()
	}
	r.unsettled = r.unsettled[:0]
}

// takeMore leases what there is room for, and hands it over.
func (r *running) takeMore(ctx context.Context) {
	room, bytes := r.room(), maxTurnBytes-r.bytesUnderWay
	if room <= 0 || bytes <= 0 {
		return
	}
	local, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	began := time.Now()
	// Those with a key wait for participants: they leave half of the room to the others.
	found, err := r.outbox.look(local, room, min(room, (r.options.Batch+1)/2-r.keyedUnderWay), r.cursor)
	took := time.Since(began)
	var rows []taken
	if err == nil && len(found.ids) > 0 {
		rows, err = r.outbox.take(local, found, bytes, r.options.RetentionGuard)
	}
	if err != nil {
		if ctx.Err() == nil {
			r.failing("its database cannot be read: " + err.Error())
		}
		return
	}
	r.cursor = found.cursor
	switch {
	case len(rows) < len(found.ids):
		r.lookAt = time.Now().Add(time.Millisecond) // others are at them
	case !found.isMore:
		r.lookAt = time.Now().Add(max(r.options.Interval, lookShare*took))
	case len(rows) == 0: // among many keys
		r.lookAt = time.Now().Add(min(r.options.Interval, lookShare*took))
	}
	for _, row := range rows {
		r.underWay++
		r.bytesUnderWay += len(row.request)
		if row.key.Valid {
			r.keyedUnderWay++
		}
		r.group.Go(func() { r.answers <- r.handOver(r.calls, row) })
	}
}

// handOver one row; as often as anybody likes, since its gid is one transaction.
func (r *Relay) handOver(ctx context.Context, row taken) settled {
	transaction, err := assent.DecodeTransaction(row.request)
	if err != nil {
		return settled{row: row, fate: parks, why: "its request cannot be read: " + err.Error()}
	}
	if transaction.GID() != row.gid {
		return settled{row: row, fate: parks, why: fmt.Sprintf("its request is of gid %q", transaction.GID())}
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	if row.isOld {
		known, err := r.client.Get(ctx, row.gid)
		if errors.Is(err, assent.ErrNotFound) {
			return settled{row: row, fate: parks, why: forgotten}
		}
		if err != nil || !row.key.Valid || known.FinishedUnixMs != 0 {
			return fateOf(row, err)
		}
	}
	wait := assent.WaitAccepted
	if row.key.Valid {
		wait = assent.WaitCompleted
	}
	_, err = r.client.SubmitFor(ctx, transaction, wait)
	answer := fateOf(row, err)
	if row.key.Valid && errors.Is(err, assent.ErrUnknownOutcome) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return r.notYet(context.WithoutCancel(ctx), answer)
	}
	return answer
}

// notYet tells one that is under way at the coordinator from one that nobody has answered.
func (r *Relay) notYet(ctx context.Context, answer settled) settled {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	if _, err := r.client.Get(ctx, answer.row.gid); err == nil {
		answer.why, answer.after, answer.isAway = notComplete, 0, false
	}
	return answer
}

// failing waits longer each time, and says so once.
func (r *running) failing(why string) {
	r.away++
	r.lookAt = time.Now().Add(backoffOf(r.away, rowBackoffInitial, awayMax))
	if r.said == "" {
		r.said = why
		r.options.Log("outbox: " + cut(why))
	}
}

func (r *running) works() {
	r.away = 0
	if r.said != "" {
		r.said = ""
		r.options.Log("outbox: works again")
	}
}

// report once a minute what a person should look at.
func (r *running) report(ctx context.Context) {
	if time.Now().Before(r.reportAt) {
		return
	}
	r.reportAt = time.Now().Add(reportEvery)
	local, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	stats, err := r.Stats(local)
	if err == nil && (stats.Parked > 0 || stats.Oldest > oldAge) {
		r.options.Log(fmt.Sprintf("outbox: waiting=%d oldest=%v parked=%d", stats.Waiting, stats.Oldest.Round(time.Second), stats.Parked))
	}
}
