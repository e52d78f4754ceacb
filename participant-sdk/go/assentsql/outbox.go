package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	assent "assent.example/sdk"
)

// Outbox makes "this transaction starts if, and only if, my local one commits" true: Publish writes it into the table
// assent_outbox within the local transaction, and a Relay hands it to the coordinator afterwards (docs/messages.md). Its methods
// may be called from any goroutine.
//
//	outbox, err := assentsql.OpenOutbox(ctx, db, assentsql.PostgreSQL)
//	tx, err := db.BeginTx(ctx, nil)
//	…
//	err = outbox.Publish(ctx, tx, assent.NewTransaction().TCC("payment", "charge", amount))
//	err = tx.Commit()
type Outbox struct {
	local
	// Publish refuses, with assent.ErrUnavailable, when so many rows wait: 100,000; 0: no bound. To be set before the first one.
	MaxWaiting int

	waitsForLocks bool // a MariaDB that cannot skip what others have locked

	counting sync.Mutex
	counted  time.Time // when
	since    int       // published
	full     bool
}

const (
	defaultMaxWaiting = 100_000
	countEvery        = time.Second
	countAfter        = 1000 // publishes
	maxKeyBytes       = 128
	lockWaitSeconds   = 5 // for somebody's lock on the table; shorter than localTimeout
)

// OpenOutbox makes the table assent_outbox if it is not there.
func OpenOutbox(ctx context.Context, db *sql.DB, dialect Dialect) (*Outbox, error) {
	o := &Outbox{local: local{db: db, dialect: dialect}, MaxWaiting: defaultMaxWaiting}
	// Whoever has locked the table is not waited for by ever more sessions.
	o.more.set = fmt.Sprintf(", @assent_lock_wait = @@lock_wait_timeout, lock_wait_timeout = %d", lockWaitSeconds)
	o.more.back = ", lock_wait_timeout = @assent_lock_wait"
	if err := o.isDurable(ctx); err != nil {
		return nil, fmt.Errorf("assentsql: %w", err)
	}
	if err := o.inTransaction(ctx, nil, func(q querier) error { return o.create(ctx, q) }); err != nil {
		return nil, fmt.Errorf("assentsql: table assent_outbox: %w", err)
	}
	return o, nil
}

// Tx is an open local transaction: a *sql.Tx, or a *sql.Conn on which one was begun by hand.
type Tx interface {
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

// PublishOption says more of what is published.
type PublishOption func(*published)

type published struct {
	key   sql.NullString
	quiet bool
}

// InOrder: those of one key reach their participants one after the other, in the order in which they were published: the next one
// starts when this one has completed. 1 to 128 bytes. Local transactions that publish for one key at the same time have no order;
// those that change the same row first have.
func InOrder(key string) PublishOption {
	return func(p *published) { p.key = sql.NullString{String: key, Valid: true} }
}

// Quietly leaves out what wakes relays on PostgreSQL, for a local transaction that you prepare by yourself (PREPARE TRANSACTION
// does not take a NOTIFY). Handlers of Keeper.TwoPhase need not say so, if they pass on their context.
func Quietly() PublishOption { return func(p *published) { p.quiet = true } }

// preparing marks the context of a handler whose transaction will be prepared.
type preparing struct{}

// Publish writes the transaction into tx: it will start if, and only if, tx commits. It talks to nobody. Every error is an
// *assent.Error, or the database's: ErrInvalid, ErrAlreadyExists (the gid waits already), ErrState (tx is no open transaction),
// ErrUnavailable (too many wait: later). After any of them tx is to be rolled back.
func (o *Outbox) Publish(ctx context.Context, tx Tx, transaction *assent.Transaction, options ...PublishOption) error {
	request, err := transaction.Encode()
	if err != nil {
		return err
	}
	var p published
	for _, option := range options {
		option(&p)
	}
	wrong := func(kind error, cause error, words string) error {
		return &assent.Error{Kind: kind, GID: transaction.GID(), Message: words, Cause: cause}
	}
	if p.key.Valid && !isKey(p.key.String) {
		return wrong(assent.ErrInvalid, nil, fmt.Sprintf("the key %q: it takes 1 to %d bytes of UTF-8 without control characters",
			cut(p.key.String), maxKeyBytes))
	}
	if _, isPool := tx.(*sql.DB); isPool {
		return wrong(assent.ErrState, nil, noTransaction)
	}
	if ctx.Value(preparing{}) != nil {
		p.quiet = true
	}
	if err := o.hasRoom(ctx, tx); err != nil {
		if errors.Is(err, errFull) {
			return wrong(assent.ErrUnavailable, nil, err.Error())
		}
		return err
	}
	err = o.insert(ctx, tx, transaction.GID(), p, request)
	switch {
	case errors.Is(err, errAutocommit):
		return wrong(assent.ErrState, err, noTransaction)
	case isDuplicate(err):
		return wrong(assent.ErrAlreadyExists, err, "a row of assent_outbox has this gid: "+err.Error())
	}
	return err
}

const noTransaction = "it is to be published within a local transaction, and there is none that is open: the row would commit by itself"

func isKey(key string) bool {
	return len(key) > 0 && len(key) <= maxKeyBytes && utf8.ValidString(key) && !strings.ContainsFunc(key, unicode.IsControl)
}

var errFull = errors.New("too many rows of assent_outbox wait to be handed over; is a relay running?")

// hasRoom counts up to the bound, now and then; in the user's transaction, since a pool may have no other connection.
func (o *Outbox) hasRoom(ctx context.Context, tx Tx) error {
	if o.MaxWaiting == 0 {
		return nil
	}
	o.counting.Lock()
	o.since++
	if time.Since(o.counted) < countEvery && o.since < countAfter {
		defer o.counting.Unlock()
		if o.full {
			return errFull
		}
		return nil
	}
	o.counted, o.since = time.Now(), 0 // who comes meanwhile does not count, too
	o.counting.Unlock()
	count, err := o.count(ctx, tx, "", o.MaxWaiting)
	o.counting.Lock()
	defer o.counting.Unlock()
	if err != nil {
		o.counted = time.Time{}
		return err
	}
	if o.full = count >= o.MaxWaiting; o.full {
		return errFull
	}
	return nil
}
