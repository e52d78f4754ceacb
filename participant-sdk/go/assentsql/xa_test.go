package assentsql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// Two-phase work over MariaDB, which says OK to an XA COMMIT that does nothing while the session that prepared it is ending
// (tests/sdk_python/xa_window.py shows it): who settles, when, and what is believed.

// wire is a database that remembers what it was told.
type wire struct {
	driver.Connector
	mutex     sync.Mutex
	sessions  int
	said      []said
	swallowed string // is answered with OK, and not done
	lost      string // is done, and has no answer, once
	before    func(text string)
}

type said struct {
	session int
	text    string
	at      time.Time
}

func (w *wire) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := w.Connector.Connect(ctx)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sessions++
	return wireConn{conn, w, w.sessions}, err
}

type wireConn struct {
	driver.Conn
	w      *wire
	number int
}

func (c wireConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}

func (c wireConn) note(text string) (swallowed, lost bool) {
	c.w.mutex.Lock()
	defer c.w.mutex.Unlock()
	c.w.said = append(c.w.said, said{c.number, text, time.Now()})
	swallowed = c.w.swallowed != "" && strings.HasPrefix(text, c.w.swallowed)
	if lost = c.w.lost != "" && strings.HasPrefix(text, c.w.lost); lost {
		c.w.lost = ""
	}
	return swallowed, lost
}

func (c wireConn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	c.note(query)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, arguments)
}

func (c wireConn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	swallowed, lost := c.note(query)
	if c.w.before != nil {
		c.w.before(query)
	}
	if swallowed {
		return driver.RowsAffected(0), nil
	}
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, arguments)
	if err == nil && lost {
		return nil, errors.New("connection reset by peer")
	}
	return result, err
}

func (w *wire) set(swallowed, lost string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.said, w.swallowed, w.lost = nil, swallowed, lost
}

func (w *wire) of(start string) (found []said) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, one := range w.said {
		if strings.HasPrefix(one.text, start) {
			found = append(found, one)
		}
	}
	return found
}

// watched is a vault whose words are seen.
func watched(t *testing.T, base *rig.Database) (*vault, *wire) {
	w := &wire{Connector: connector{base.DB.Driver(), base.Source + "?interpolateParams=true"}}
	seen := *base
	seen.DB = sql.OpenDB(w)
	t.Cleanup(func() { seen.DB.Close() })
	return openVault(t, &seen, assentsql.MariaDB), w
}

// elsewhere is another process on the same database; the first one lives.
func (v *vault) elsewhere() *vault {
	other := &vault{books: &books{t: v.t, base: v.base, runs: map[assent.Operation]int{}}, kind: v.kind}
	other.again()
	v.t.Cleanup(func() { _ = other.keeper.Close() })
	return other
}

func TestTheSessionThatHasPreparedSettles(t *testing.T) {
	v, w := watched(t, rig.OpenMariaDB(t))
	for gid, operation := range map[string]assent.Operation{"g1": assent.OperationCommit, "g2": assent.OperationRollback} {
		w.set("", "")
		for _, one := range []assent.Operation{assent.OperationPrepare, assent.OperationPrepare, operation} {
			if reply := v.two(gid, one); reply.Kind != assent.KindDone {
				t.Errorf("%s %v: %v %q", gid, one, reply.Kind, reply.Reason)
			}
		}
		all := w.of("XA ")
		if len(all) != 4 {
			t.Fatalf("%v", all)
		}
		for _, one := range all {
			if one.session != all[0].session {
				t.Errorf("session %d said %q, session %d %q", all[0].session, all[0].text, one.session, one.text)
			}
		}
	}
	if v.free() != 90 || len(v.prepared()) != 0 {
		t.Errorf("%d free, prepared %v", v.free(), v.prepared())
	}
}

func TestWhatHasNoSessionIsLeftAloneForAMoment(t *testing.T) {
	v, w := watched(t, rig.OpenMariaDB(t))
	free := 100
	for _, one := range []struct {
		gid       string
		operation assent.Operation
		verb      string
		alive     bool
	}{
		{"g1", assent.OperationCommit, "XA COMMIT", true}, {"g2", assent.OperationRollback, "XA ROLLBACK", true},
		{"g3", assent.OperationCommit, "XA COMMIT", false},
	} {
		v.expect(one.gid, assent.OperationPrepare, assent.KindDone, free, 1)
		since := "KILL CONNECTION"
		if !one.alive {
			since = "SELECT IS_USED_LOCK"
			_ = v.keeper.Close()
			rig.Until(t, "its session has ended", func() bool { return !v.worker(one.gid, "1").Valid })
		}
		other := v.elsewhere()
		w.set("", "")
		reply := other.two(one.gid, one.operation)
		if killed := len(w.of("KILL")); reply.Kind != assent.KindDone || (killed == 1) != one.alive {
			t.Fatalf("%s: %v %q, %d sessions were ended", one.gid, reply.Kind, reply.Reason, killed)
		}
		if waited := w.of(one.verb)[0].at.Sub(w.of(since)[0].at); waited < assentsql.DetachTime {
			t.Errorf("%s: after %v", one.gid, waited)
		}
		if one.operation == assent.OperationCommit {
			free -= 10
		}
		v.expect(one.gid, one.operation, assent.KindDone, free, 0)
	}
}

func TestAnOKThatDoesNothingIsNotBelieved(t *testing.T) {
	v, w := watched(t, rig.OpenMariaDB(t))
	for _, one := range []struct {
		gid       string
		operation assent.Operation
		verb      string
		promised  bool
		free      int // afterwards
	}{
		{"g1", assent.OperationCommit, "XA COMMIT", true, 90}, {"g2", assent.OperationRollback, "XA ROLLBACK", true, 90},
		{"g3", assent.OperationRollback, "XA ROLLBACK", false, 90}, {"g4", assent.OperationPrepare, "XA ROLLBACK", false, 90},
	} {
		had := v.free()
		v.expect(one.gid, assent.OperationPrepare, assent.KindDone, had, 1)
		if !one.promised {
			v.exec("DELETE FROM assent_barrier WHERE gid = '" + one.gid + "'")
		}
		for _, side := range []*vault{v, v.elsewhere()} { // that has prepared it, and another process
			w.set(one.verb, "")
			reply := side.expect(one.gid, one.operation, assent.KindRetryLater, had, 1)
			if !strings.Contains(reply.Reason, "it is still prepared, but MariaDB said to "+one.verb+": OK") {
				t.Errorf("%s: %q", one.gid, reply.Reason)
			}
		}
		w.set("", "")
		var promised int
		if err := v.base.DB.QueryRow("SELECT count(*) FROM assent_barrier WHERE state = 4").Scan(&promised); err != nil || (promised == 1) != one.promised {
			t.Errorf("%s: %d promises: %v", one.gid, promised, err)
		}
		if one.operation == assent.OperationPrepare {
			v.expect(one.gid, assent.OperationPrepare, assent.KindDone, one.free, 1)
			v.expect(one.gid, assent.OperationRollback, assent.KindDone, one.free, 0)
			continue
		}
		v.expect(one.gid, one.operation, assent.KindDone, one.free, 0)
	}
}

// It is neither a yes nor a no, also in a session that has not prepared it, and what is asked next finds what there is.
func TestTheAnswerToXaIsLostElsewhere(t *testing.T) {
	v, w := watched(t, rig.OpenMariaDB(t))
	other := v.elsewhere()
	for gid, operation := range map[string]assent.Operation{"g1": assent.OperationCommit, "g2": assent.OperationRollback} {
		v.two(gid, assent.OperationPrepare)
		verb := map[assent.Operation]string{assent.OperationCommit: "XA COMMIT", assent.OperationRollback: "XA ROLLBACK"}[operation]
		w.set("", verb)
		if reply := other.two(gid, operation); reply.Kind != assent.KindUnknown {
			t.Errorf("%s: %v %q", verb, reply.Kind, reply.Reason)
		}
		if reply := other.two(gid, operation); reply.Kind != assent.KindDone {
			t.Errorf("%s again: %v %q", verb, reply.Kind, reply.Reason)
		}
	}
	if v.free() != 90 || len(v.prepared()) != 0 {
		t.Errorf("%d free, prepared %v", v.free(), v.prepared())
	}
}

// A session that worked when its process was cut off does not prepare after somebody was told that nothing is.
func TestNothingComesLate(t *testing.T) {
	v := openVault(t, rig.OpenMariaDB(t), assentsql.MariaDB)
	late, err := v.base.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	sum := sha256.Sum256([]byte("g1/1"))
	for _, text := range []string{
		fmt.Sprintf("DO GET_LOCK('assent/%x/work', 0)", sum[:20]), fmt.Sprintf("XA START 'g1','1',%d", 0x4153), "UPDATE books SET amount = 0",
	} {
		if _, err := late.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	v.expect("g1", assent.OperationRollback, assent.KindDone, 100, 0)
	if _, err := late.ExecContext(t.Context(), fmt.Sprintf("XA END 'g1','1',%d", 0x4153)); err == nil {
		t.Error("it goes on")
	}
	v.expect("g1", assent.OperationPrepare, assent.KindRefused, 100, 0)
}

// twoServers is one address, and behind it two servers.
type twoServers struct {
	driver.Connector
	other driver.Connector
	turn  *int
}

func (s twoServers) Connect(ctx context.Context) (driver.Conn, error) {
	if *s.turn++; *s.turn%2 == 0 {
		return s.other.Connect(ctx)
	}
	return s.Connector.Connect(ctx)
}

func TestTwoServersBehindOneAddressAreNoticed(t *testing.T) {
	first, second := rig.OpenMariaDB(t), rig.OpenMariaDB(t)
	turn := 0
	both := *first
	both.DB = sql.OpenDB(twoServers{connector{first.DB.Driver(), first.Source}, connector{first.DB.Driver(), second.Source}, &turn})
	t.Cleanup(func() { both.DB.Close() })
	v := openVault(t, &both, assentsql.MariaDB)
	v.base = first // which the test itself asks
	reply := v.expect("g1", assent.OperationPrepare, assent.KindRetryLater, 100, 0)
	if !strings.Contains(reply.Reason, "two connections have found two servers") {
		t.Errorf("%q", reply.Reason)
	}
}

func TestWhatSomebodyHasCommittedIsNotSaidToBeRolledBack(t *testing.T) {
	v := openVault(t, rig.OpenMariaDB(t), assentsql.MariaDB)
	v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.endSession("g1", "1")
	v.exec(fmt.Sprintf("XA COMMIT 'g1','1',%d", 0x4153))
	reply := v.expect("g1", assent.OperationRollback, assent.KindRefused, 90, 0)
	if !strings.HasPrefix(reply.Reason, "HAZARD: its prepared work is gone from the database: it was committed") {
		t.Errorf("%q", reply.Reason)
	}
	v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
}

// Of a pool that is bounded as many sessions are kept as leave everybody else a connection; without a bound MaxKeptSessions.
func TestThePoolHasAConnectionForWhoeverPrepares(t *testing.T) {
	for most, kept := range map[int]int{0: assentsql.MaxKeptSessions, 8: 3, 2: 0} {
		base := rig.OpenMariaDB(t)
		bounded := *base
		bounded.DB = sql.OpenDB(connector{base.DB.Driver(), base.Source})
		bounded.DB.SetMaxOpenConns(most)
		t.Cleanup(func() { bounded.DB.Close() })
		v := openVault(t, &bounded, assentsql.MariaDB)
		v.base = base // which the test itself asks
		count := assentsql.MaxKeptSessions + 2
		v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
			_, err := tx.ExecContext(ctx, "INSERT INTO books VALUES(?, 1)", call.GID)
			return assent.Done(nil), err
		}
		var group sync.WaitGroup
		each := func(operation assent.Operation) {
			for n := range count {
				group.Go(func() {
					if reply := v.two(fmt.Sprint("g", n), operation); reply.Kind != assent.KindDone {
						t.Errorf("of %d: g%d %v: %v %q", most, n, operation, reply.Kind, reply.Reason)
					}
				})
			}
			group.Wait()
		}
		each(assent.OperationPrepare)
		alive := func() (found int) {
			for n := range count {
				if v.worker(fmt.Sprint("g", n), "1").Valid {
					found++
				}
			}
			return found
		}
		rig.Until(t, fmt.Sprintf("of %d connections %d are kept", most, kept), func() bool { return alive() == kept })
		each(assent.OperationCommit)
		if len(v.prepared()) != 0 {
			t.Errorf("of %d: prepared %v", most, v.prepared())
		}
	}
}
