package assentsql_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/internal/rig"
)

// desk is a participant "orders" that is asked about messages, and their initiator's database, which is the same.
type desk struct {
	*rig.Database
	t       *testing.T
	dialect assentsql.Dialect
	source  string // of the participant's pool
	p       *assent.Participant
}

// openDesk has a pool of its own for the participant: over SQLite one that soon gives up who has the file locked.
func openDesk(t *testing.T, base *rig.Database, dialect assentsql.Dialect, patience time.Duration, dialling assent.Dialling) *desk {
	t.Helper()
	d := &desk{t: t, Database: base, dialect: dialect, source: strings.Replace(base.Source, "busy_timeout(10000)", "busy_timeout(20)", 1)}
	db, err := sql.Open(driverOf[dialect], d.source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keeper, err := assentsql.Open(t.Context(), db, dialect)
	if err != nil {
		t.Fatal(err)
	}
	d.p = assent.NewParticipant(assent.ParticipantOptions{Service: "orders", Dialling: dialling, Log: func(string) {}})
	keeper.CheckBack(d.p, "placed", patience)
	return d
}

func message(gid string) *assent.Transaction {
	return assent.NewTransaction().WithGID(gid).CheckBack("orders", "placed").Saga("shipping", "book", nil)
}

// ask so long after Prepare, as a coordinator does.
func (d *desk) ask(gid string, after time.Duration) *assentv1.BranchReply {
	command := commandOf(gid, assent.OperationAction, "placed")
	command.Service, command.BeganUnixMs = "orders", time.Now().Add(-after).UnixMilli()
	return d.p.Execute(d.t.Context(), command)
}

func (d *desk) wants(gid string, after time.Duration, kind assent.ReplyKind) *assentv1.BranchReply {
	d.t.Helper()
	reply := d.ask(gid, after)
	if reply.Kind != kind {
		d.t.Errorf("%s after %v: %v, wanted %v", gid, after, reply, kind)
	}
	return reply
}

func (d *desk) begin() *sql.Tx {
	d.t.Helper()
	tx, err := d.DB.BeginTx(d.t.Context(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return tx
}

// enlist in a local transaction, which then ends so.
func (d *desk) enlist(gid string, end func(*sql.Tx) error) error {
	d.t.Helper()
	return d.enlistOf(message(gid), end)
}

func (d *desk) enlistOf(message *assent.Transaction, end func(*sql.Tx) error) error {
	d.t.Helper()
	tx := d.begin()
	err := assentsql.Enlist(d.t.Context(), tx, d.dialect, message)
	if ended := end(tx); ended != nil {
		d.t.Fatal(ended)
	}
	return err
}

func (d *desk) committed(gid string) {
	d.t.Helper()
	if err := d.enlist(gid, (*sql.Tx).Commit); err != nil {
		d.t.Fatal(err)
	}
}

func isError(err, kind error, words string) bool {
	return errors.Is(err, kind) && strings.Contains(err.Error(), words)
}

func TestCheckBack(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			run := func(name string, body func(d *desk, t *testing.T)) {
				t.Run(name, func(t *testing.T) {
					d := openDesk(t, base, kind.dialect, 0, assent.Dialling{})
					if _, err := d.DB.ExecContext(t.Context(), "DELETE FROM assent_barrier"); err != nil {
						t.Fatal(err)
					}
					body(d, t)
				})
			}
			run("what has committed is done", func(d *desk, t *testing.T) {
				d.committed("g1")
				d.wants("g1", 0, assent.KindDone)
				if reply := d.wants("g1", time.Hour, assent.KindDone); len(reply.Result) != 0 || reply.Reason != "" {
					t.Errorf("%v", reply)
				}
			})
			run("what has not committed is later, and then no", func(d *desk, t *testing.T) {
				if err := d.enlist("g1", (*sql.Tx).Rollback); err != nil {
					t.Fatal(err)
				}
				d.wants("g1", 0, assent.KindRetryLater)
				d.wants("g1", 8*time.Second, assent.KindRetryLater)
				no := d.wants("g1", 11*time.Second, assent.KindRefused)
				// Whatever the clocks say then.
				if again := d.wants("g1", 0, assent.KindRefused); again.Reason != no.Reason || !strings.Contains(no.Reason, "had not committed after 10000 ms") {
					t.Errorf("%v, %v", no, again)
				}
			})
			run("a no is for good", func(d *desk, t *testing.T) {
				d.wants("g1", 11*time.Second, assent.KindRefused)
				if err := d.enlist("g1", (*sql.Tx).Rollback); !isError(err, assent.ErrState, "was told no") {
					t.Errorf("%v", err)
				}
				d.wants("g1", 0, assent.KindRefused)
				d.committed("g2")
			})
			run("so is a compensation that has come first", func(d *desk, t *testing.T) {
				undo := commandOf("g1", assent.OperationCompensate, "placed")
				undo.Service = "orders"
				if reply := d.p.Execute(t.Context(), undo); reply.Kind != assent.KindDone {
					t.Fatalf("%v", reply)
				}
				if err := d.enlist("g1", (*sql.Tx).Rollback); !isError(err, assent.ErrState, "was told no") {
					t.Errorf("%v", err)
				}
			})
			run("one that is under way is neither done nor refused", func(d *desk, t *testing.T) {
				tx := d.begin()
				if err := assentsql.Enlist(t.Context(), tx, d.dialect, message("g1")); err != nil {
					t.Fatal(err)
				}
				d.wants("g1", 11*time.Second, assent.KindRetryLater)
				if d.dialect != assentsql.SQLite { // there nobody else can write meanwhile
					d.wants("g2", 11*time.Second, assent.KindRefused)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				d.wants("g1", 11*time.Second, assent.KindDone)
			})
			run("one that comes while it is being refused is told so", races)
			run("one is enlisted once", func(d *desk, t *testing.T) {
				d.committed("g1")
				if err := d.enlist("g1", (*sql.Tx).Rollback); !isError(err, assent.ErrAlreadyExists, "is enlisted") {
					t.Errorf("%v", err)
				}
				d.wants("g1", 0, assent.KindDone)
			})
			run("without a local transaction it is refused", func(d *desk, t *testing.T) {
				conn, err := d.DB.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				for _, on := range []assentsql.Tx{d.DB, conn} {
					if err := assentsql.Enlist(t.Context(), on, d.dialect, message("g1")); !isError(err, assent.ErrState, "there is none that is open") {
						t.Errorf("%v", err)
					}
				}
				d.wants("g1", 0, assent.KindRetryLater)
				for _, text := range []string{"BEGIN", "", "COMMIT"} { // one that was begun by hand
					if text == "" {
						err = assentsql.Enlist(t.Context(), conn, d.dialect, message("g1"))
					} else {
						_, err = conn.ExecContext(t.Context(), text)
					}
					if err != nil {
						t.Fatalf("%q: %v", text, err)
					}
				}
				d.wants("g1", 0, assent.KindDone)
			})
			run("what does not check back is refused", func(d *desk, t *testing.T) {
				tx := d.begin()
				defer func() { _ = tx.Rollback() }()
				plain := assent.NewTransaction().Saga("shipping", "book", nil)
				if err := assentsql.Enlist(t.Context(), tx, d.dialect, plain); !isError(err, assent.ErrInvalid, "CheckBack") {
					t.Errorf("%v", err)
				}
				if err := assentsql.Enlist(t.Context(), tx, d.dialect, assent.NewTransaction()); !errors.Is(err, assent.ErrInvalid) {
					t.Errorf("%v", err)
				}
			})
			run("what has committed is not undone", func(d *desk, t *testing.T) {
				d.committed("g1")
				undo := commandOf("g1", assent.OperationCompensate, "placed")
				undo.Service = "orders"
				if reply := d.p.Execute(t.Context(), undo); reply.Kind != assent.KindRefused {
					t.Errorf("%v", reply)
				}
				d.wants("g1", 0, assent.KindDone)
			})
			run("where no keeper has its table it is said", func(d *desk, t *testing.T) {
				if _, err := d.DB.ExecContext(t.Context(), "DROP TABLE assent_barrier"); err != nil {
					t.Fatal(err)
				}
				if err := d.enlist("g1", (*sql.Tx).Rollback); !isError(err, assent.ErrState, "assentsql.Open") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// Many messages are refused while they are being enlisted: each is one or the other, for both sides.
func races(d *desk, t *testing.T) {
	const count = 40
	var group sync.WaitGroup
	enlisted := make([]error, count)
	replies := make([]*assentv1.BranchReply, count)
	for i := range count {
		gid := fmt.Sprint("race-", i)
		group.Go(func() {
			tx, err := d.DB.BeginTx(t.Context(), nil)
			if err == nil {
				err = assentsql.Enlist(t.Context(), tx, d.dialect, message(gid))
			}
			if err == nil {
				err = tx.Commit()
			} else if tx != nil {
				_ = tx.Rollback()
			}
			enlisted[i] = err
		})
		group.Go(func() {
			for {
				if replies[i] = d.ask(gid, time.Hour); replies[i].Kind != assent.KindRetryLater {
					return
				}
			}
		})
	}
	group.Wait()
	var done, refused int
	for i, reply := range replies {
		switch {
		case reply.Kind == assent.KindDone && enlisted[i] == nil:
			done++
		case reply.Kind == assent.KindRefused && enlisted[i] != nil:
			refused++
		default:
			t.Errorf("%d: %v, and %v", i, reply, enlisted[i])
		}
	}
	t.Logf("%d done, %d refused", done, refused)
}

// Whoever asks in another language, and whoever enlists in one, has the same lock of the branch.
func TestEnlistHasTheLockOfTheBranch(t *testing.T) {
	d := openDesk(t, rig.OpenPostgres(t), assentsql.PostgreSQL, 0, assent.Dialling{})
	free := func() (free bool) {
		t.Helper()
		const key = `('x' || left(encode(sha256(convert_to('["g1", "1"]', 'UTF8')), 'hex'), 16))::bit(64)::bigint`
		if err := d.DB.QueryRow("SELECT pg_try_advisory_xact_lock(" + key + ")").Scan(&free); err != nil {
			t.Fatal(err)
		}
		return free
	}
	tx := d.begin()
	if err := assentsql.Enlist(t.Context(), tx, d.dialect, message("g1")); err != nil || free() {
		t.Errorf("%v, and others may be at the branch", err)
	}
	if err := tx.Commit(); err != nil || !free() {
		t.Errorf("%v, and nobody may be at the branch", err)
	}
}

// What is answered with done is not taken back by a crash of the server, also where synchronous_commit is off.
func TestWhatIsEnlistedIsDurable(t *testing.T) {
	base := rig.OpenPostgresWith(t, `{"synchronous_commit": "off", "wal_writer_delay": "10s"}`)
	d := openDesk(t, base, assentsql.PostgreSQL, 0, assent.Dialling{})
	if _, err := d.DB.Exec("CREATE TABLE orders(gid text)"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DB.Exec("CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	tx := d.begin()
	if _, err := tx.Exec("INSERT INTO orders VALUES('g1')"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(assentsql.Enlist(t.Context(), tx, d.dialect, message("g1")), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	d.wants("g1", 0, assent.KindDone)
	base.Kill()
	base.Restart()
	rig.Until(t, "it answers", func() bool { return base.DB.Ping() == nil })
	var orders int
	if err := base.DB.QueryRow("SELECT count(*) FROM orders").Scan(&orders); err != nil || orders != 1 {
		t.Errorf("%d orders: %v", orders, err)
	}
}

// town is a coordinator, a desk, and a service "shipping" that notes what it is asked to do.
type town struct {
	*desk
	daemon *rig.Daemon
	client *assent.Client

	mutex  sync.Mutex
	booked []string
}

func forEachTown(t *testing.T, patience time.Duration, body func(w *town, t *testing.T)) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			w := &town{daemon: rig.StartDaemon(t)}
			dialling := assent.Dialling{Endpoints: []string{w.daemon.Endpoint}}
			w.desk = openDesk(t, kind.open(t), kind.dialect, patience, dialling)
			if _, err := w.DB.ExecContext(t.Context(), "CREATE TABLE orders(gid VARCHAR(64))"); err != nil {
				t.Fatal(err)
			}
			var err error
			if w.client, err = assent.NewClient(assent.ClientOptions{Dialling: dialling}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.client.Close() })
			shipping := assent.NewParticipant(assent.ParticipantOptions{Service: "shipping", Dialling: dialling, Log: func(string) {}})
			shipping.Saga("book", assent.Saga{Action: func(_ context.Context, call *assent.Call) (assent.Reply, error) {
				w.mutex.Lock()
				defer w.mutex.Unlock()
				w.booked = append(w.booked, call.GID)
				return assent.Done(nil), nil
			}})
			w.serve(w.p)
			w.serve(shipping)
			body(w, t)
		})
	}
}

func (w *town) serve(p *assent.Participant) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = p.Run(ctx) })
	w.t.Cleanup(func() { cancel(); group.Wait() })
}

func (w *town) isBooked(gid string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Contains(w.booked, gid)
}

func (w *town) transaction(gid string) *assentv1.Transaction {
	w.t.Helper()
	found, err := w.client.Get(w.t.Context(), gid)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func (w *town) prepare(firstAsked time.Duration) *assent.Transaction {
	w.t.Helper()
	ship := assent.NewTransaction().CheckBack("orders", "placed", assent.FirstAsked(firstAsked)).Saga("shipping", "book", nil)
	report, err := w.client.Prepare(w.t.Context(), ship)
	if err != nil || report.Outcome != assent.Undecided || w.isBooked(ship.GID()) {
		w.t.Fatalf("%+v, %v", report, err)
	}
	return ship
}

// place an order in a local transaction, with the mark of the message.
func place(ctx context.Context, db *sql.DB, dialect assentsql.Dialect, ship *assent.Transaction) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES('"+ship.GID()+"')"); err != nil {
		return err
	}
	if err := assentsql.Enlist(ctx, tx, dialect, ship); err != nil {
		return err
	}
	return tx.Commit()
}

func (w *town) orders() (count int) {
	w.t.Helper()
	if err := w.DB.QueryRow("SELECT count(*) FROM orders").Scan(&count); err != nil {
		w.t.Fatal(err)
	}
	return count
}

func TestAMessageThatIsSubmittedBeginsAtOnce(t *testing.T) {
	forEachTown(t, 0, func(w *town, t *testing.T) {
		ship := w.prepare(time.Hour) // so that nothing but Submit has it asked
		if err := place(t.Context(), w.DB, w.dialect, ship); err != nil {
			t.Fatal(err)
		}
		report, err := w.client.Submit(t.Context(), ship)
		if err != nil || !report.Committed() {
			t.Fatalf("%+v, %v", report, err)
		}
		rig.Until(t, "it is booked", func() bool { return w.isBooked(ship.GID()) })
		if w.dialect != assentsql.PostgreSQL {
			return
		}
		if err := placeAndTell(t.Context(), w.client, w.DB); err != nil {
			t.Fatal(err)
		}
		rig.Until(t, "so is that of the README", func() bool { w.mutex.Lock(); defer w.mutex.Unlock(); return len(w.booked) == 2 })
	})
}

func TestAnInitiatorThatNeverCommitsIsAborted(t *testing.T) {
	forEachTown(t, time.Millisecond, func(w *town, t *testing.T) {
		ship := w.prepare(10 * time.Millisecond)
		report, err := w.client.Wait(t.Context(), ship.GID())
		if err != nil || !report.Aborted() {
			t.Fatalf("%+v, %v", report, err)
		}
		if err := place(t.Context(), w.DB, w.dialect, ship); !isError(err, assent.ErrState, "was told no") {
			t.Errorf("%v", err)
		}
		if w.orders() != 0 || w.isBooked(ship.GID()) {
			t.Errorf("%d orders, booked: %v", w.orders(), w.isBooked(ship.GID()))
		}
	})
}

// Whatever patience says, one that is enlisted may still commit, and then begins.
func TestAnInitiatorThatIsSlowIsWaitedFor(t *testing.T) {
	forEachTown(t, time.Millisecond, func(w *town, t *testing.T) {
		ship := w.prepare(time.Hour) // so that it is asked about when it is submitted, and then alone
		tx := w.begin()
		if err := assentsql.Enlist(t.Context(), tx, w.dialect, ship); err != nil {
			t.Fatal(err)
		}
		submit := func() {
			if _, err := w.client.SubmitFor(t.Context(), ship, assent.WaitAccepted); err != nil {
				t.Fatal(err)
			}
		}
		submit()
		rig.Until(t, "the answer is later", func() bool {
			return slices.ContainsFunc(w.transaction(ship.GID()).Branches[0].Attempts, func(one *assentv1.Attempt) bool {
				return one.Result == assentv1.Attempt_RETRY_LATER
			})
		})
		if now := w.transaction(ship.GID()); now.Outcome != assent.Undecided || w.isBooked(ship.GID()) {
			t.Errorf("%v", now)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		submit()
		rig.Until(t, "it is booked", func() bool { return w.isBooked(ship.GID()) })
	})
}

// TestInitiatorProcess is a process of its own, which tests kill: it has committed, and submits nothing.
func TestInitiatorProcess(t *testing.T) {
	words := strings.Split(os.Getenv("ASSENT_TEST_INITIATOR"), " ")
	if len(words) != 3 {
		t.Skip("no test")
	}
	number, _ := strconv.Atoi(words[0])
	db, err := sql.Open(driverOf[assentsql.Dialect(number)], words[1])
	if err != nil {
		t.Fatal(err)
	}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{words[2]}}})
	if err != nil {
		t.Fatal(err)
	}
	ship := assent.NewTransaction().CheckBack("orders", "placed", assent.FirstAsked(300*time.Millisecond)).Saga("shipping", "book", nil)
	if _, err := client.Prepare(t.Context(), ship); err != nil {
		t.Fatal(err)
	}
	if err := place(t.Context(), db, assentsql.Dialect(number), ship); err != nil {
		t.Fatal(err)
	}
	fmt.Println("placed " + ship.GID())
	select {}
}

func TestAnInitiatorThatIsKilledHasCommitted(t *testing.T) {
	forEachTown(t, time.Minute, func(w *town, t *testing.T) {
		command := exec.Command(os.Args[0], "-test.run=^TestInitiatorProcess$", "-test.v")
		command.Env = append(os.Environ(), fmt.Sprintf("ASSENT_TEST_INITIATOR=%d %s %s", int(w.dialect), w.Source, w.daemon.Endpoint))
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		gid, found := "", false
		for lines := bufio.NewScanner(out); !found && lines.Scan(); {
			_, gid, found = strings.Cut(lines.Text(), "placed ")
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		if !found {
			t.Fatal("it has placed nothing")
		}
		report, err := w.client.Wait(t.Context(), gid)
		if err != nil || !report.Committed() || w.orders() != 1 {
			t.Fatalf("%+v, %v, %d orders", report, err, w.orders())
		}
		rig.Until(t, "it is booked", func() bool { return w.isBooked(gid) })
	})
}

// placeAndTell is the README's.
func placeAndTell(ctx context.Context, client *assent.Client, db *sql.DB) error {
	ship := assent.NewTransaction().CheckBack("orders", "placed").Saga("shipping", "book", []byte("order 7"))
	if _, err := client.Prepare(ctx, ship); err != nil { // nothing has happened: say it again, or give up
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES('order 7')"); err != nil {
		return err
	}
	if err := assentsql.Enlist(ctx, tx, assentsql.PostgreSQL, ship); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = client.Submit(ctx, ship) // it begins now; without this it would as well, a second later
	return err
}

// What nobody can be asked about has not been refused: it may have committed, and it waits for who can.
func TestWhereNobodyHasTheActionItWaits(t *testing.T) {
	daemon, base := rig.StartDaemon(t), rig.OpenSQLite(t)
	dialling := assent.Dialling{Endpoints: []string{daemon.Endpoint}}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: dialling})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := &town{daemon: daemon, client: client}
	w.desk = openDesk(t, base, assentsql.SQLite, time.Minute, dialling)
	done := func(context.Context, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	older := assent.NewParticipant(assent.ParticipantOptions{Service: "orders", Dialling: dialling, Log: func(string) {}})
	older.Saga("other", assent.Saga{Action: done})
	shipping := assent.NewParticipant(assent.ParticipantOptions{Service: "shipping", Dialling: dialling, Log: func(string) {}})
	shipping.Saga("book", assent.Saga{Action: done})
	w.serve(older)
	w.serve(shipping)
	other := assent.NewTransaction().Saga("orders", "other", nil).Saga("shipping", "book", nil)
	if report, err := client.Submit(t.Context(), other); err != nil || !report.Committed() { // both are there
		t.Fatalf("%+v, %v", report, err)
	}
	ship := w.prepare(time.Hour)
	if err := w.enlistOf(ship, (*sql.Tx).Commit); err != nil {
		t.Fatal(err)
	}
	if _, err := client.SubmitFor(t.Context(), ship, assent.WaitAccepted); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "it is asked about", func() bool { return len(w.transaction(ship.GID()).Branches[0].Attempts) > 0 })
	w.serve(w.p)
	if report, err := client.Submit(t.Context(), ship); err != nil || !report.Committed() {
		t.Errorf("%+v, %v", report, err)
	}
}
