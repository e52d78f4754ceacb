package assent_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// shop is two services with a database each, against a real assentd: stock is reserved, money is taken.
type shop struct {
	t            *testing.T
	stock, money *ledger
}

// ledger is a service with one number.
type ledger struct {
	t    *testing.T
	base *rig.Database
	p    *assent.Participant
	stop func()
}

func newLedger(t *testing.T, endpoint, service string, start int) *ledger {
	t.Helper()
	l := &ledger{t: t, base: rig.OpenSQLite(t)}
	for _, text := range []string{"CREATE TABLE books(free INTEGER NOT NULL, held INTEGER NOT NULL)", fmt.Sprintf("INSERT INTO books VALUES(%d, 0)", start)} {
		if _, err := l.base.DB.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	keeper, err := assentsql.Open(t.Context(), l.base.DB, assentsql.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	l.p = assent.NewParticipant(assent.ParticipantOptions{Service: service, Dialling: assent.Dialling{Endpoints: []string{endpoint}}})
	move := func(free, held int) assentsql.Handler {
		return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
			amount, err := strconv.Atoi(string(call.Payload))
			if err != nil {
				return assent.Refused("not a number: " + string(call.Payload)), nil
			}
			if _, err := tx.ExecContext(ctx, "UPDATE books SET free = free + ?, held = held + ?", free*amount, held*amount); err != nil {
				return assent.Reply{}, err
			}
			var left int
			if err := tx.QueryRowContext(ctx, "SELECT free FROM books").Scan(&left); err != nil {
				return assent.Reply{}, err
			}
			if left < 0 {
				return assent.Refused("not enough"), nil
			}
			return assent.Done([]byte(strconv.Itoa(left))), nil
		}
	}
	keeper.TCC(l.p, "take", assentsql.TCC{Try: move(-1, 1), Confirm: move(0, -1), Cancel: move(1, -1)})
	l.p.Ask(keeper)
	return l
}

func (l *ledger) run() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := l.p.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	l.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	l.t.Cleanup(l.stop)
	wait, end := context.WithTimeout(ctx, 20*time.Second)
	defer end()
	if err := l.p.WaitConnected(wait); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) books() (free, held int) {
	l.t.Helper()
	if err := l.base.DB.QueryRow("SELECT free, held FROM books").Scan(&free, &held); err != nil {
		l.t.Fatal(err)
	}
	return free, held
}

func newShop(t *testing.T, endpoint string) *shop {
	t.Helper()
	s := &shop{t: t, stock: newLedger(t, endpoint, "stock", 1000), money: newLedger(t, endpoint, "money", 100)}
	s.stock.run()
	s.money.run()
	return s
}

func order() *assent.Transaction {
	return assent.NewTransaction().TCC("stock", "take", []byte("1")).TCC("money", "take", []byte("1"))
}

func (s *shop) want(stock, money int) {
	s.t.Helper()
	rig.Until(s.t, fmt.Sprintf("books of %d and %d, nothing held", stock, money), func() bool {
		free, held := s.stock.books()
		paid, due := s.money.books()
		return free == stock && held == 0 && paid == money && due == 0
	})
}

func TestAnOrderAndARollback(t *testing.T) {
	daemon := rig.StartDaemon(t)
	s := newShop(t, daemon.Endpoint)
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}, Wait: assent.WaitCompleted})
	report, err := c.Submit(t.Context(), order())
	if err != nil || !report.Committed() || string(report.Results["1"]) != "999" {
		t.Fatalf("%+v %v", report, err)
	}
	s.want(999, 99)
	dear := assent.NewTransaction().TCC("stock", "take", []byte("5")).TCC("money", "take", []byte("500"))
	report, err = c.Submit(t.Context(), dear)
	if err != nil || !report.Aborted() || report.AbortReason != "branch 2 money/take refused: not enough" {
		t.Fatalf("%+v %v", report, err)
	}
	s.want(999, 99)
	if again, err := c.Submit(t.Context(), dear); err != nil || again.Outcome != report.Outcome {
		t.Errorf("the same again: %+v %v", again, err)
	}
	if shown, err := c.Get(t.Context(), dear.GID()); err != nil || shown.Outcome != assent.Aborted || len(shown.Branches) != 2 {
		t.Errorf("%v %v", shown, err)
	}
	if _, err := c.Get(t.Context(), "nobody"); !errors.Is(err, assent.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestBranchesAreAddedOneByOne(t *testing.T) {
	daemon := rig.StartDaemon(t)
	s := newShop(t, daemon.Endpoint)
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}, Wait: assent.WaitCompleted})
	begin := func() *assent.OpenTransaction {
		open, err := c.Begin(t.Context(), assent.NewTransaction().Label("test", "open"))
		if err != nil {
			t.Fatal(err)
		}
		return open
	}
	committed := begin()
	defer committed.Abandon()
	if first, err := committed.TCC(t.Context(), "stock", "take", []byte("7")); err != nil || first.Refused || string(first.Result) != "993" {
		t.Fatalf("%+v %v", first, err)
	}
	if report, err := committed.Commit(t.Context()); err != nil || !report.Committed() {
		t.Fatalf("%+v %v", report, err)
	}
	s.want(993, 100)
	abandoned := begin()
	if _, err := abandoned.TCC(t.Context(), "stock", "take", []byte("7")); err != nil {
		t.Fatal(err)
	}
	abandoned.Abandon()
	s.want(993, 100)
	refused := begin()
	defer refused.Abandon()
	if branch, err := refused.TCC(t.Context(), "money", "take", []byte("500")); err != nil || !branch.Refused || branch.Reason != "not enough" {
		t.Fatalf("%+v %v", branch, err)
	}
	s.want(993, 100)
}

// Kill -9 of the coordinator, again and again, under load: every gid has one outcome, and the books have the same.
func TestTheBooksBalanceThroughTheCoordinatorsDeaths(t *testing.T) {
	daemon := rig.StartDaemon(t)
	s := newShop(t, daemon.Endpoint)
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}, GiveUpAfter: 30 * time.Second, CallTimeout: 60 * time.Second})
	const ordersCount = 200 // of 100 coins: half of them are refused
	var group sync.WaitGroup
	var mutex sync.Mutex
	committed, answered := 0, 0
	for range ordersCount {
		group.Go(func() {
			report, err := c.Submit(context.Background(), order())
			mutex.Lock()
			defer mutex.Unlock()
			answered++
			if err != nil {
				t.Error(err)
			} else if report.Committed() {
				committed++
			}
		})
	}
	seen := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		return answered
	}
	for kill := 1; kill <= 3; kill++ {
		rig.Until(t, "some are answered", func() bool { return seen() >= kill*ordersCount/8 })
		daemon.Kill()
		daemon.Start()
	}
	group.Wait()
	if committed == 0 || committed > 100 {
		t.Errorf("%d are committed", committed)
	}
	s.want(1000-committed, 100-committed)
}

// A service that stops in order answers what it has; one that comes back is asked on.
func TestAServiceStopsAndComesBack(t *testing.T) {
	daemon := rig.StartDaemon(t)
	s := newShop(t, daemon.Endpoint)
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}, Wait: assent.WaitCompleted})
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if report, err := c.Submit(context.Background(), order()); err != nil || !report.Committed() {
				t.Errorf("%+v %v", report, err)
			}
		})
	}
	s.money.stop()
	if there := s.money.p.Connected(); len(there) != 0 {
		t.Errorf("still connected: %v", there)
	}
	s.money.run()
	group.Wait()
	s.want(950, 50)
}

func TestACoordinatorDialsAServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	daemon := rig.StartDaemon(t, "--unary", "stock="+listener.Addr().String())
	stock := newLedger(t, daemon.Endpoint, "stock", 10)
	server := grpc.NewServer()
	if err := stock.p.Register(server); err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	c := client(t, assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}, Wait: assent.WaitCompleted})
	if report, err := c.Submit(t.Context(), assent.NewTransaction().TCC("stock", "take", []byte("3"))); err != nil || !report.Committed() {
		t.Fatalf("%+v %v", report, err)
	}
	if free, held := stock.books(); free != 7 || held != 0 {
		t.Errorf("%d free, %d held", free, held)
	}
}
