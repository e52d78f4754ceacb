package assentsql_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

var driverOf = map[assentsql.Dialect]string{assentsql.SQLite: "sqlite", assentsql.PostgreSQL: "pgx", assentsql.MariaDB: "mysql"}

// TestOutboxRelayProcess is a process of its own, which tests kill. With HANG it stands still before it removes a row.
func TestOutboxRelayProcess(t *testing.T) {
	words := strings.Split(os.Getenv("ASSENT_TEST_RELAY"), " ")
	if len(words) != 4 {
		t.Skip("no test")
	}
	number, _ := strconv.Atoi(words[0])
	dialect := assentsql.Dialect(number)
	plain, err := sql.Open(driverOf[dialect], words[1])
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Connector: connector{plain.Driver(), words[1]}}
	if words[3] == "HANG" {
		w.before = func(text string) {
			if strings.HasPrefix(text, "DELETE") {
				fmt.Println("deleting")
				select {}
			}
		}
	}
	outbox, err := assentsql.OpenOutbox(context.Background(), sql.OpenDB(w), dialect)
	if err != nil {
		t.Fatal(err)
	}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{words[2]}}})
	if err != nil {
		t.Fatal(err)
	}
	assentsql.NewRelay(outbox, client, assentsql.RelayOptions{}).Run(context.Background())
}

// process begins one; kill is kill -9.
func (o *office) process(mode string) (lines *bufio.Scanner, kill func()) {
	o.t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestOutboxRelayProcess$", "-test.v")
	command.Env = append(os.Environ(), fmt.Sprintf("ASSENT_TEST_RELAY=%d %s %s %s", int(o.dialect), o.Source, o.daemon.Endpoint, mode))
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	kill = func() { _ = command.Process.Kill(); _ = command.Wait() }
	o.t.Cleanup(kill)
	return bufio.NewScanner(out), kill
}

// leasesEnd as they do after a minute.
func (o *office) leasesEnd() { o.exec("UPDATE assent_outbox SET due_unix_ms = 0") }

// What was handed over and not removed is handed over once more, and is one transaction.
func (o *office) killedBeforeDelete(_ *office, t *testing.T) {
	const rows = 3
	var gids []string
	for i := range rows {
		gids = append(gids, o.publish(order(fmt.Sprint(i))))
	}
	lines, kill := o.process("HANG")
	said := false
	for !said && lines.Scan() {
		said = strings.Contains(lines.Text(), "deleting")
	}
	if !said {
		t.Fatal("it has removed nothing")
	}
	rig.Until(t, "they have come", func() bool { return len(o.seen()) == rows })
	kill()
	if o.count("WHERE first_attempt_unix_ms IS NOT NULL") != rows {
		t.Errorf("%d rows", o.count(""))
	}
	o.leasesEnd()
	o.relay(assentsql.RelayOptions{})
	o.untilSeen(rows)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for _, gid := range gids {
		if o.gids[gid] != 1 {
			t.Errorf("%s has run %d times", gid, o.gids[gid])
		}
	}
}

// Of one key all come in the order in which they were published, whatever becomes of two relays.
func (o *office) orderThroughKills(_ *office, t *testing.T) {
	const rows, kills = 200, 6
	var want []string
	o.within(func(tx *sql.Tx) error {
		for i := range rows {
			want = append(want, fmt.Sprint(i))
			if err := o.outbox.Publish(t.Context(), tx, order(want[i]), assentsql.InOrder("account 7")); err != nil {
				return err
			}
		}
		return nil
	})
	var killers [2]func()
	for i := range killers {
		_, killers[i] = o.process("-")
	}
	for i := range kills {
		rig.Until(t, "some have come", func() bool { return len(o.seen()) >= (i+1)*rows/(kills+2) })
		killers[i%2]()
		_, killers[i%2] = o.process("-")
		o.leasesEnd()
	}
	o.untilSeen(rows)
	if seen := o.seen(); !slices.Equal(seen, want) {
		t.Errorf("%v", seen)
	}
}

// Nothing is handed over that a crash of the server takes back, also where synchronous_commit is off.
func TestWhatIsHandedOverIsDurable(t *testing.T) {
	base := rig.OpenPostgresWith(t, `{"synchronous_commit": "off", "wal_writer_delay": "10s"}`)
	daemon := rig.StartDaemon(t)
	outbox, err := assentsql.OpenOutbox(t.Context(), base.DB, assentsql.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	o := &office{t: t, dialect: assentsql.PostgreSQL, Database: base, outbox: outbox, client: client, daemon: daemon}
	o.exec("CREATE TABLE orders(gid text)")
	o.exec("CHECKPOINT")
	followed := order("follows")
	o.within(func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO orders VALUES($1)", followed.GID()); err != nil {
			return err
		}
		return outbox.Publish(t.Context(), tx, followed)
	})
	o.relay(assentsql.RelayOptions{})
	rig.Until(t, "it is handed over", func() bool { _, err := client.Get(t.Context(), followed.GID()); return err == nil })
	base.Kill()
	base.Restart()
	rig.Until(t, "it answers", func() bool { return base.DB.Ping() == nil })
	var orders int
	if err := base.DB.QueryRow("SELECT count(*) FROM orders").Scan(&orders); err != nil || orders != 1 {
		t.Errorf("%d orders: %v", orders, err)
	}
}
