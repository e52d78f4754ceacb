package assentsql_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// office is a database with an outbox, a coordinator, and a participant that notes what comes.
type office struct {
	t       *testing.T
	name    string
	dialect assentsql.Dialect
	daemon  *rig.Daemon
	client  *assent.Client
	p       *assent.Participant

	*rig.Database
	outbox *assentsql.Outbox

	mutex sync.Mutex
	notes []string // payloads, in the order in which they came, each gid once
	gids  map[string]int
	hold  chan struct{} // not nil: what comes waits
}

// forEach kind of database: a server, a coordinator and a participant for all that body does.
func forEach(t *testing.T, body func(o *office)) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			o := &office{t: t, name: kind.name, dialect: kind.dialect, Database: kind.open(t), gids: map[string]int{}, daemon: rig.StartDaemon(t)}
			dialling := assent.Dialling{Endpoints: []string{o.daemon.Endpoint}}
			var err error
			if o.client, err = assent.NewClient(assent.ClientOptions{Dialling: dialling, GiveUpAfter: 200 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { o.client.Close() })
			o.p = assent.NewParticipant(assent.ParticipantOptions{Service: "desk", Dialling: dialling, Log: func(string) {}})
			o.p.Saga("note", assent.Saga{Action: o.note})
			o.open()
			ctx, cancel := context.WithCancel(context.Background())
			var group sync.WaitGroup
			group.Go(func() { _ = o.p.Run(ctx) })
			t.Cleanup(func() { cancel(); group.Wait() })
			body(o)
		})
	}
}

func (o *office) note(_ context.Context, call *assent.Call) (assent.Reply, error) {
	o.mutex.Lock()
	hold := o.hold
	o.mutex.Unlock()
	if hold != nil {
		<-hold
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.gids[call.GID]++; o.gids[call.GID] == 1 {
		o.notes = append(o.notes, string(call.Payload))
	}
	return assent.Done(nil), nil
}

func (o *office) open() {
	o.t.Helper()
	outbox, err := assentsql.OpenOutbox(o.t.Context(), o.DB, o.dialect)
	if err != nil {
		o.t.Fatal(err)
	}
	o.outbox = outbox
}

// run a case that begins with an empty table and no notes.
func (o *office) run(name string, body func(o *office, t *testing.T)) {
	o.t.Run(name, func(t *testing.T) {
		o.exec("DELETE FROM assent_outbox")
		o.mutex.Lock()
		o.notes, o.hold = nil, nil
		o.mutex.Unlock()
		outer := o.t
		o.t = t
		defer func() { o.t = outer }()
		body(o, t)
	})
}

func (o *office) exec(text string, arguments ...any) {
	o.t.Helper()
	if o.dialect == assentsql.PostgreSQL {
		for i := 1; strings.Contains(text, "?"); i++ {
			text = strings.Replace(text, "?", fmt.Sprint("$", i), 1)
		}
	}
	if _, err := o.DB.ExecContext(context.Background(), text, arguments...); err != nil {
		o.t.Fatalf("%s: %v", text, err)
	}
}

func (o *office) count(where string) (count int) {
	o.t.Helper()
	if err := o.DB.QueryRow("SELECT count(*) FROM assent_outbox " + where).Scan(&count); err != nil {
		o.t.Fatal(err)
	}
	return count
}

func order(text string) *assent.Transaction {
	return assent.NewTransaction().Saga("desk", "note", []byte(text))
}

// within a local transaction that is committed.
func (o *office) within(do func(tx *sql.Tx) error) {
	o.t.Helper()
	tx, err := o.DB.BeginTx(o.t.Context(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		o.t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) publish(transaction *assent.Transaction, options ...assentsql.PublishOption) string {
	o.t.Helper()
	o.within(func(tx *sql.Tx) error { return o.outbox.Publish(o.t.Context(), tx, transaction, options...) })
	return transaction.GID()
}

// relay in this process, until the test, or what is returned, ends it.
func (o *office) relay(options assentsql.RelayOptions) (*assentsql.Relay, func()) {
	if options.Log == nil {
		options.Log = func(line string) { o.t.Log(line) }
	}
	relay := assentsql.NewRelay(o.outbox, o.client, options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { relay.Run(ctx); close(done) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	o.t.Cleanup(stop)
	return relay, stop
}

func (o *office) seen() []string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return slices.Clone(o.notes)
}

func (o *office) untilSeen(count int) {
	o.t.Helper()
	rig.Until(o.t, fmt.Sprintf("%d have come", count), func() bool { return len(o.seen()) >= count })
	rig.Until(o.t, "the rows are gone", func() bool { return o.count("WHERE parked_reason IS NULL AND kind = 1") == 0 })
	if came := len(o.seen()); came != count {
		o.t.Errorf("%d have come of %d", came, count)
	}
}

func TestOutbox(t *testing.T) {
	forEach(t, func(o *office) {
		o.run("follows a commit, and no rollback", func(o *office, t *testing.T) {
			o.relay(assentsql.RelayOptions{})
			rolledBack := order("never")
			tx, err := o.DB.BeginTx(t.Context(), nil)
			if err == nil {
				err = o.outbox.Publish(t.Context(), tx, rolledBack)
			}
			if err == nil {
				err = tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
			o.publish(order("paid"))
			o.untilSeen(1)
			if _, err := o.client.Get(t.Context(), rolledBack.GID()); !errors.Is(err, assent.ErrNotFound) || o.seen()[0] != "paid" {
				t.Errorf("%v, %v", o.seen(), err)
			}
		})
		o.run("keeps bytes of every kind, and of every size", func(o *office, t *testing.T) {
			all := make([]byte, 256)
			for i := range all {
				all[i] = byte(i)
			}
			large := bytes.Repeat(all, assent.MaxPayloadBytes/len(all))
			full := order(string(large)).Saga("desk", "note", large).Saga("desk", "note", large) // as large as may be
			var want []string
			for _, payload := range []string{"", string(all), string(large)} {
				o.publish(order(payload))
				want = append(want, payload)
			}
			o.publish(full)
			o.publish(order("ä ") /* a key of every byte that it takes */, assentsql.InOrder(" Ä'\\\"%?$1 "))
			o.relay(assentsql.RelayOptions{})
			o.untilSeen(5)
			seen := o.seen()
			for _, payload := range append(want, string(large), "ä ") {
				at := slices.Index(seen, payload)
				if at < 0 {
					t.Fatalf("a payload of %d bytes has not come", len(payload))
				}
				seen = slices.Delete(seen, at, at+1)
			}
		})
		o.run("refuses what can never work", o.refuses)
		o.run("refuses to commit by itself", o.autocommit)
		o.run("has a bound", o.bound)
		o.run("handlers publish", o.handlers)
		o.run("rows edited by hand", o.byHand)
		o.run("other content of the same gid", func(o *office, t *testing.T) {
			gid := o.publish(order("one"))
			o.relay(assentsql.RelayOptions{})
			o.untilSeen(1)
			o.publish(order("two").WithGID(gid))
			rig.Until(t, "it is parked", func() bool { return o.count("WHERE parked_reason IS NOT NULL") == 1 })
			parked, err := o.outbox.Parked(t.Context(), 10)
			if err != nil || len(parked) != 1 || parked[0].GID != gid || !strings.Contains(parked[0].Reason, "already exists") {
				t.Errorf("%+v %v", parked, err)
			}
		})
		o.run("asks for what was handed over long ago", o.guard)
		o.run("is woken", func(o *office, t *testing.T) {
			relay, _ := o.relay(assentsql.RelayOptions{Interval: time.Hour})
			rig.Until(t, "it has looked once", func() bool { s, err := relay.Stats(t.Context()); return err == nil && s.Waiting == 0 })
			o.publish(order("woken"))
			rig.Until(t, "it has come", func() bool { relay.Wake(); return len(o.seen()) == 1 })
			rig.Until(t, "it counts", func() bool { s, _ := relay.Stats(t.Context()); return s.HandedOver == 1 && s.Waiting == 0 })
		})
		o.run("two at once share", func(o *office, t *testing.T) {
			const count = 600
			o.within(func(tx *sql.Tx) error {
				for i := range count {
					if err := o.outbox.Publish(t.Context(), tx, order(fmt.Sprint(i))); err != nil {
						return err
					}
				}
				return nil
			})
			first, _ := o.relay(assentsql.RelayOptions{Batch: 50})
			second, _ := o.relay(assentsql.RelayOptions{Batch: 50})
			o.untilSeen(count)
			rig.Until(t, "both have settled", func() bool {
				a, _ := first.Stats(t.Context())
				b, _ := second.Stats(t.Context())
				return a.HandedOver+b.HandedOver == count && a.HandedOver > 0 && b.HandedOver > 0
			})
		})
		o.run("a participant that hangs holds up nobody else", o.hangs)
		o.run("the coordinator goes away", o.coordinatorAway)
		o.run("somebody has locked the table", o.locked)
		o.run("a hundred thousand rows", o.huge)
		o.run("killed between submit and delete", o.killedBeforeDelete)
		o.run("order of a key through kills", o.orderThroughKills)
		if o.Kill != nil {
			o.run("the database goes away", func(o *office, t *testing.T) {
				o.relay(assentsql.RelayOptions{})
				o.publish(order("before"))
				o.untilSeen(1)
				o.Kill()
				o.Restart()
				rig.Until(t, "it answers", func() bool { return o.DB.Ping() == nil })
				o.publish(order("after"))
				o.untilSeen(2)
			})
		}
	})
}

func (o *office) refuses(_ *office, t *testing.T) {
	many := assent.NewTransaction()
	for range 129 {
		many.Saga("desk", "note", nil)
	}
	large := make([]byte, assent.MaxPayloadBytes)
	for words, transaction := range map[string]*assent.Transaction{
		`gid is "a b"; it takes 1 to 64 of [A-Za-z0-9._:-]`:               order("").WithGID("a b"),
		"branches: a transaction needs at least one":                      assent.NewTransaction(),
		"branches has 129 branches; at most 128":                          many,
		"branches[0].payload has 1048577 bytes; at most 1048576":          order(string(large) + "!"),
		"payloads and headers together has 3145729 bytes; at most 314572": order(string(large)).Saga("desk", "note", large).Saga("desk", "note", large).Saga("desk", "note", []byte("!")),
		`branches[0].service is ""`:                                       assent.NewTransaction().Saga("", "note", nil),
		"deadline is 604800001 ms; it must be 0 to 604800000":             order("").Deadline(7*24*time.Hour + time.Millisecond),
		`branches[1].id "1" is taken by an earlier branch`:                order("").Saga("desk", "note", nil, assent.ID("1")),
		"branches[0].pivot is set, but only a Saga step can be the pivot": assent.NewTransaction().TCC("desk", "note", nil, assent.Pivot()),
		`branches[1].after names "x"`:                                     order("").Saga("desk", "note", nil, assent.After("x")),
		"traceparent is ":                                                 order("").Trace("00-1-2-3", ""),
	} {
		tx, err := o.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = o.outbox.Publish(t.Context(), tx, transaction)
		if !errors.Is(err, assent.ErrInvalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 129), "a\x00", "a\n", "\xff"} {
		if err := o.tryPublish(order(""), assentsql.InOrder(key)); !errors.Is(err, assent.ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	made := order("").WithGID("")
	if o.publish(made) == "" {
		t.Error("it has no gid")
	}
	if err := o.tryPublish(order("other").WithGID(made.GID())); !errors.Is(err, assent.ErrAlreadyExists) {
		t.Errorf("%v", err)
	}
	if o.count("") != 1 {
		t.Errorf("%d rows", o.count(""))
	}
}

// tryPublish in a local transaction of its own.
func (o *office) tryPublish(transaction *assent.Transaction, options ...assentsql.PublishOption) error {
	o.t.Helper()
	tx, err := o.DB.BeginTx(o.t.Context(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := o.outbox.Publish(o.t.Context(), tx, transaction, options...); err != nil {
		return err
	}
	return tx.Commit()
}

// A deadlock, a ROLLBACK by hand, INSERT OR ROLLBACK: the transaction is over, its owner goes on, and each statement commits.
func (o *office) autocommit(_ *office, t *testing.T) {
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, assent.ErrState) || !strings.Contains(err.Error(), "there is none that is open") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("the pool", o.outbox.Publish(t.Context(), o.DB, order("")))
	conn, err := o.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	refused("a connection", o.outbox.Publish(t.Context(), conn, order("")))
	tx, err := conn.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), "ROLLBACK")
	}
	if err != nil {
		t.Fatal(err)
	}
	refused("what was ended", o.outbox.Publish(t.Context(), tx, order("")))
	_ = tx.Rollback()
	for _, text := range []string{"BEGIN", "", "COMMIT"} {
		if text == "" {
			err = o.outbox.Publish(t.Context(), conn, order("by hand"))
		} else {
			_, err = conn.ExecContext(t.Context(), text)
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if o.count("") != 1 {
		t.Errorf("%d rows", o.count(""))
	}
}

func (o *office) bound(_ *office, t *testing.T) {
	o.open()
	o.outbox.MaxWaiting = 3
	defer o.open()
	for range 3 {
		row(o, assent.NewGID(), nil)
	}
	if err := o.tryPublish(order("")); !errors.Is(err, assent.ErrUnavailable) || !strings.Contains(err.Error(), "is a relay running?") {
		t.Fatalf("%v", err)
	}
	o.exec("DELETE FROM assent_outbox")
	rig.Until(t, "there is room again", func() bool { return o.tryPublish(order("")) == nil })
}

// row is written by hand.
func row(o *office, gid string, request []byte) {
	o.t.Helper()
	if request == nil {
		request, _ = order(gid).WithGID(gid).Encode()
	}
	o.exec("INSERT INTO assent_outbox(gid, request, created_unix_ms) VALUES(?, ?, 0)", gid, request)
}

func (o *office) byHand(_ *office, t *testing.T) {
	good, _ := order("good").WithGID("good").Encode()
	row(o, "garbage", []byte("\xff\xfe garbage"))
	row(o, "empty", []byte{})
	row(o, "other", good)
	row(o, "it's", good)
	row(o, "later", good)
	row(o, "many", nil)
	row(o, "good", nil)
	o.exec("UPDATE assent_outbox SET kind = 7 WHERE gid = 'later'")
	o.exec("UPDATE assent_outbox SET attempts = 2147483647, due_unix_ms = -5 WHERE gid = 'many'")
	relay, _ := o.relay(assentsql.RelayOptions{})
	o.untilSeen(2)
	rig.Until(t, "the others are parked", func() bool { return o.count("WHERE parked_reason IS NOT NULL") == 4 })
	parked, err := o.outbox.Parked(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, one := range parked {
		said[one.GID] = one.Reason
	}
	for gid, words := range map[string]string{"garbage": "its request cannot be read: ", "empty": "without a transaction",
		"other": `its request is of gid "good"`, "it's": `its request is of gid "good"`, "later": "it is of kind 7, which is not known here"} {
		if !strings.Contains(said[gid], words) {
			t.Errorf("%s: %q", gid, said[gid])
		}
	}
	if err := o.outbox.Retry(t.Context(), "nobody"); !errors.Is(err, assent.ErrNotFound) {
		t.Errorf("%v", err)
	}
	mended, _ := order("mended").WithGID("garbage").Encode()
	o.exec("UPDATE assent_outbox SET request = ? WHERE gid = 'garbage'", mended)
	if err := o.outbox.Retry(t.Context(), "garbage"); err != nil {
		t.Fatal(err)
	}
	for _, gid := range []string{"empty", "other", "it's", "later"} {
		if err := o.outbox.Drop(t.Context(), gid); err != nil {
			t.Errorf("%s: %v", gid, err)
		}
	}
	relay.Wake()
	o.untilSeen(3)
	if o.count("") != 0 {
		t.Errorf("%d rows", o.count(""))
	}
}

// What was handed over so long ago that the coordinator may have forgotten it is not run once more.
func (o *office) guard(_ *office, t *testing.T) {
	known := o.publish(order("known"))
	_, stop := o.relay(assentsql.RelayOptions{})
	o.untilSeen(1)
	stop()
	again, _ := order("known").WithGID(known).Encode()
	row(o, known, again)
	row(o, "forgotten", nil)
	row(o, "young", nil)
	o.exec("UPDATE assent_outbox SET first_attempt_unix_ms = 1 WHERE gid <> 'young'")
	_, stop = o.relay(assentsql.RelayOptions{})
	defer stop()
	o.untilSeen(2)
	rig.Until(t, "it is parked", func() bool { return o.count("WHERE parked_reason IS NOT NULL") == 1 })
	parked, err := o.outbox.Parked(t.Context(), 10)
	if err != nil || len(parked) != 1 || parked[0].GID != "forgotten" || !strings.Contains(parked[0].Reason, "may have run and been forgotten") {
		t.Errorf("%+v %v", parked, err)
	}
	if err := o.outbox.Retry(t.Context(), "forgotten"); err != nil {
		t.Fatal(err)
	}
	o.untilSeen(3)
}

// hangs: those of one key wait for its participant; others do not. A relay that is stopped leaves what was not answered.
func (o *office) hangs(_ *office, t *testing.T) {
	hold := make(chan struct{})
	o.mutex.Lock()
	o.hold = hold
	o.mutex.Unlock()
	for i := range 3 {
		o.publish(order(fmt.Sprint("in order ", i)), assentsql.InOrder("a"))
		o.publish(order(fmt.Sprint("at once ", i)))
	}
	_, stop := o.relay(assentsql.RelayOptions{Batch: 2, StopGrace: time.Millisecond})
	rig.Until(t, "the others are accepted", func() bool { return o.count("WHERE ordering_key IS NULL") == 0 })
	stop()
	if o.count("WHERE ordering_key = 'a'") != 3 || o.count("WHERE attempts > 0") != 1 {
		t.Errorf("%d rows, %d tried", o.count(""), o.count("WHERE attempts > 0"))
	}
	o.mutex.Lock()
	o.hold = nil
	o.mutex.Unlock()
	close(hold)
	o.relay(assentsql.RelayOptions{})
	o.untilSeen(6)
	var came []string
	for _, note := range o.seen() {
		if strings.HasPrefix(note, "in order") {
			came = append(came, note)
		}
	}
	if !slices.IsSorted(came) {
		t.Errorf("%v", came)
	}
}

// An outage, however long, leaves rows of which it is certain that they were never handed over.
func (o *office) coordinatorAway(_ *office, t *testing.T) {
	o.daemon.Kill()
	relay, _ := o.relay(assentsql.RelayOptions{RetentionGuard: time.Millisecond})
	for i := range 5 {
		o.publish(order(fmt.Sprint(i)))
	}
	rig.Until(t, "it has tried", func() bool { s, _ := relay.Stats(t.Context()); return s.Failed >= 5 })
	rig.Until(t, "they were never handed over", func() bool {
		return o.count("WHERE first_attempt_unix_ms IS NULL AND attempts > 0 AND last_error LIKE '%unavailable%'") > 0
	})
	o.daemon.Start()
	o.untilSeen(5)
	if o.count("") != 0 {
		t.Errorf("%d rows", o.count(""))
	}
}

func (o *office) locked(_ *office, t *testing.T) {
	o.publish(order("waits"))
	conn, err := o.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	texts := map[assentsql.Dialect][2]string{
		assentsql.SQLite:     {"BEGIN IMMEDIATE", "ROLLBACK"},
		assentsql.PostgreSQL: {"BEGIN; LOCK TABLE assent_outbox", "ROLLBACK"},
		assentsql.MariaDB:    {"LOCK TABLES assent_outbox WRITE", "UNLOCK TABLES"},
	}[o.dialect]
	if _, err := conn.ExecContext(t.Context(), texts[0]); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 100)
	_, stop := o.relay(assentsql.RelayOptions{Log: func(line string) { said <- line }})
	if line := <-said; !strings.Contains(line, "its database cannot be") {
		t.Errorf("%s", line)
	}
	if _, err := conn.ExecContext(t.Context(), texts[1]); err != nil {
		t.Fatal(err)
	}
	o.untilSeen(1)
	stop()
	if line := <-said; line != "outbox: works again" {
		t.Errorf("%s", line)
	}
}

// A look takes what it needs, by the indices, whatever the table is like: 100,000 rows behind one that is parked, and of many keys.
func (o *office) huge(_ *office, t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 rows")
	}
	o.outbox.MaxWaiting = 0
	defer o.open()
	const rows = 100_000
	for first := 0; first < rows; first += 1000 {
		var text strings.Builder
		for i := range 1000 {
			key := "poison"
			if first < 5000 {
				key = fmt.Sprintf("key %d", first+i)
			}
			separator := ","
			if i == 0 {
				separator = "INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms, due_unix_ms, parked_reason) VALUES "
			}
			fmt.Fprintf(&text, "%s('huge-%d', '%s', 'x', 0, 0, 'for a person')", separator, first+i, key)
		}
		o.exec(text.String())
	}
	o.exec("UPDATE assent_outbox SET parked_reason = NULL WHERE ordering_key = 'poison' AND gid <> 'huge-5000'")
	o.publish(order("other"))
	o.publish(order("last"), assentsql.InOrder("zzz"))
	o.relay(assentsql.RelayOptions{})
	rig.Until(t, "they have come", func() bool { return len(o.seen()) == 2 })
	if o.count("WHERE attempts > 0") > 0 {
		rig.Until(t, "they are gone", func() bool { return o.count("WHERE attempts > 0") == 0 })
	}
	stats, err := o.outbox.Stats(t.Context())
	if err != nil || stats.Parked != 5001 || stats.Waiting == 0 {
		t.Errorf("%+v %v", stats, err)
	}
}

// A handler publishes what follows from its operation, in the same local transaction.
func (o *office) handlers(_ *office, t *testing.T) {
	keeper, err := assentsql.Open(t.Context(), o.DB, o.dialect)
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	p := assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	reply := assent.Refused("no")
	publish := func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		return reply, o.outbox.Publish(ctx, tx, order("from a handler").WithGID("after-"+call.GID))
	}
	keeper.Saga(p, "sell", assentsql.Saga{Action: publish})
	if got := p.Execute(t.Context(), commandOf("g1", assent.OperationAction, "sell")); got.Kind != assent.KindRefused || o.count("") != 0 {
		t.Errorf("%v, %d rows", got, o.count(""))
	}
	reply = assent.Done(nil)
	for range 2 {
		if got := p.Execute(t.Context(), commandOf("g2", assent.OperationAction, "sell")); got.Kind != assent.KindDone || o.count("") != 1 {
			t.Errorf("%v, %d rows", got, o.count(""))
		}
	}
	if o.dialect != assentsql.SQLite {
		o.prepared(t, keeper, p, publish)
	}
}

// prepared: what a handler of PREPARE publishes is there once it is committed.
func (o *office) prepared(t *testing.T, keeper *assentsql.Keeper, p *assent.Participant, publish assentsql.Handler) {
	if err := keeper.TwoPhase(t.Context(), p, "take", publish); err != nil {
		t.Fatal(err)
	}
	for i, end := range []assent.Operation{assent.OperationRollback, assent.OperationCommit} {
		gid := fmt.Sprint("two-", i)
		for _, operation := range []assent.Operation{assent.OperationPrepare, end} {
			command := commandOf(gid, operation, "take")
			command.Protocol = assent.ProtocolTwoPhase
			if got := p.Execute(t.Context(), command); got.Kind != assent.KindDone {
				t.Fatalf("%v: %v", operation, got)
			}
			if operation == assent.OperationPrepare && o.count("") != 1 {
				t.Errorf("%d rows are seen before the decision", o.count(""))
			}
		}
		if o.count("") != 1+i {
			t.Errorf("%v: %d rows", end, o.count(""))
		}
	}
}
