package example

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/internal/rig"
)

const (
	transfersCount = 60
	filledWith     = 1000 // coins, each account in the west
)

// bank is a service of two, a process of its own on a database of its own.
type bank struct {
	t       *testing.T
	program string
	words   []string
	command *exec.Cmd
	db      *sql.DB
}

func startBank(t *testing.T, program, endpoint, service, driver, variable, source string) *bank {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bank{t: t, program: program, db: db, words: []string{"ASSENT_ENDPOINT=" + endpoint, "ASSENT_CONTRACT_START=1",
		"CONTRACT_SERVICE=" + service, variable + "=" + source}}
	b.start()
	t.Cleanup(b.kill)
	return b
}

func (b *bank) start() {
	b.command = exec.Command(b.program)
	b.command.Env = append(os.Environ(), b.words...)
	b.command.Stderr = os.Stderr
	b.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.command.Start(); err != nil {
		b.t.Error(err)
	}
}

func (b *bank) kill() {
	_ = b.command.Process.Kill()
	_ = b.command.Wait()
}

// total of all accounts; -1: the server does not answer now.
func (b *bank) total() (coins int) {
	if b.db.QueryRow("SELECT COALESCE(sum(balance), 0) FROM ledger").Scan(&coins) != nil {
		return -1
	}
	return coins
}

// prepared work that is left in the server.
func prepared(base *rig.Database, driver string) (count int) {
	query := "SELECT gid FROM pg_prepared_xacts"
	if driver == "mysql" {
		query = "XA RECOVER"
	}
	rows, err := base.DB.Query(query)
	if err != nil {
		return -1
	}
	defer rows.Close()
	for rows.Next() {
		count++
	}
	return count
}

// Transfers in two phases between two services; the database, a service and the coordinator get kill -9 by turns. What is
// paid out in one is paid in at the other, and nothing stays prepared.
func TestTheBooksBalanceThroughEverybodysDeaths(t *testing.T) {
	program := built(t, "participant")
	for _, kind := range []struct {
		name, driver, variable string
		open                   func(testing.TB) *rig.Database
		accountsCount          int // MariaDB: one for each initiator, since it does not say who waits for whom
	}{
		{"PostgreSQL", "pgx", "CONTRACT_POSTGRES", rig.OpenPostgres, 5},
		{"MariaDB", "mysql", "CONTRACT_MARIADB", rig.OpenMariaDB, 4},
	} {
		t.Run(kind.name, func(t *testing.T) {
			daemon, base := rig.StartDaemon(t), kind.open(t)
			west := startBank(t, program, daemon.Endpoint, "west", kind.driver, kind.variable, base.NewDatabase())
			east := startBank(t, program, daemon.Endpoint, "east", kind.driver, kind.variable, base.NewDatabase())
			committed := transfers(t, daemon.Endpoint, kind.accountsCount, []func(){
				func() { west.kill(); west.start() },
				func() { base.Kill(); base.Restart() },
				func() { daemon.Kill(); daemon.Start() },
				func() { east.kill(); east.start() },
				func() { base.Kill(); base.Restart() },
			})
			if committed == 0 {
				t.Error("nothing was committed")
			}
			rig.Until(t, "nothing is prepared", func() bool { return prepared(base, kind.driver) == 0 })
			if left, got := west.total(), east.total(); left != kind.accountsCount*filledWith-committed || got != committed {
				t.Errorf("%d are committed; %d in the west, %d in the east", committed, left, got)
			}
		})
	}
}

// transfers from west to east by four initiators, with a death now and then. How many are committed.
func transfers(t *testing.T, endpoint string, accountsCount int, deaths []func()) (committed int) {
	t.Helper()
	client, err := assent.NewClient(assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{endpoint}}, Wait: assent.WaitCompleted,
		GiveUpAfter: 90 * time.Second, CallTimeout: 90 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := range accountsCount {
		fill := assent.NewTransaction().Saga("west", "add", fmt.Appendf(nil, `{"account": "a%d", "amount": %d}`, n, filledWith))
		if report, err := client.Submit(t.Context(), fill); err != nil || !report.Committed() {
			t.Fatalf("%+v %v", report, err)
		}
	}
	var mutex sync.Mutex
	answered := 0
	one := func(n int) {
		order := assent.NewTransaction().Deadline(40 * time.Second)
		for service, amount := range map[string]int{"west": -1, "east": 1} {
			order.TwoPhase(service, "add", fmt.Appendf(nil, `{"account": "a%d", "amount": %d}`, n%accountsCount, amount))
		}
		report, err := client.Submit(context.Background(), order)
		mutex.Lock()
		defer mutex.Unlock()
		answered++
		if err != nil {
			t.Errorf("transfer %d: %v", n, err)
		} else if report.Committed() {
			committed++
		} else {
			t.Logf("transfer %d: %s", n, report.AbortReason)
		}
	}
	var group sync.WaitGroup
	for k := range 4 {
		group.Go(func() {
			for n := k; n < transfersCount; n += 4 {
				one(n)
			}
		})
	}
	for number, death := range deaths {
		rig.Until(t, "some are answered", func() bool {
			mutex.Lock()
			defer mutex.Unlock()
			return answered >= (number+1)*transfersCount/8
		})
		death()
	}
	group.Wait()
	return committed
}
