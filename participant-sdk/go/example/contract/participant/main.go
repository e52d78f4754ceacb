// The service that assent-contract examines (docs/contract.md): a ledger behind the barrier, on SQLite or, with
// CONTRACT_POSTGRES=URL or CONTRACT_MARIADB=SOURCE, in a server, which keeps prepared work too. CONTRACT_SERVICE is another name.
package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

type request struct {
	Account      string `json:"account"`
	Amount       int64  `json:"amount"`
	WaitMS       int64  `json:"wait_ms"`
	CrashAtStart int    `json:"crash_at_start"`
	Fail         bool   `json:"fail"`
	RefuseHex    string `json:"refuse_hex"`
}

type ledger struct {
	dialect assentsql.Dialect
	start   int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	start, err := strconv.Atoi(os.Getenv("ASSENT_CONTRACT_START"))
	must(err)
	l := ledger{start: start}
	driver, source, account := "sqlite", filepath.Join(os.Getenv("ASSENT_CONTRACT_FOLDER"), "ledger.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate", "TEXT"
	if url := os.Getenv("CONTRACT_POSTGRES"); url != "" {
		driver, source, l.dialect = "pgx", url, assentsql.PostgreSQL
	} else if url := os.Getenv("CONTRACT_MARIADB"); url != "" {
		driver, source, account, l.dialect = "mysql", url, "VARBINARY(128)", assentsql.MariaDB
	}
	db, err := sql.Open(driver, source)
	must(err)
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS ledger(account " + account + " PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL)")
	must(err)
	keeper, err := assentsql.Open(ctx, db, l.dialect)
	must(err)

	service := os.Getenv("CONTRACT_SERVICE")
	if service == "" {
		service = "contract"
	}
	p := assent.NewParticipant(assent.ParticipantOptions{Service: service, QuestionInterval: 500 * time.Millisecond})
	keeper.Saga(p, "read", assentsql.Saga{Action: l.read})
	keeper.Saga(p, "echo", assentsql.Saga{Action: echo})
	keeper.Saga(p, "bytes", assentsql.Saga{Action: func(_ context.Context, _ *sql.Tx, call *assent.Call) (assent.Reply, error) {
		return assent.Done(call.Payload), nil
	}})
	keeper.TCC(p, "add", assentsql.TCC{Try: l.forward(0, 1), Confirm: l.finish(1, -1), Cancel: l.finish(0, -1)})
	keeper.Saga(p, "add", assentsql.Saga{Action: l.forward(1, 0), Compensate: l.finish(-1, 0)})
	if l.dialect != assentsql.SQLite {
		must(keeper.TwoPhase(ctx, p, "add", l.forward(1, 0)))
	}
	p.Ask(keeper)

	address := os.Getenv("ASSENT_CONTRACT_LISTEN")
	if address == "" {
		must(p.Run(ctx))
		return
	}
	listener, err := net.Listen("tcp", address)
	must(err)
	server := grpc.NewServer()
	must(p.Register(server))
	context.AfterFunc(ctx, server.GracefulStop)
	must(server.Serve(listener))
}

func (l ledger) sql(text string) string {
	for n := 1; l.dialect == assentsql.PostgreSQL && strings.Contains(text, "?"); n++ {
		text = strings.Replace(text, "?", "$"+strconv.Itoa(n), 1)
	}
	return text
}

func (l ledger) change(ctx context.Context, tx *sql.Tx, account string, balance, held int64) error {
	insert := "INSERT INTO ledger(account, balance, held) VALUES(?, ?, ?) "
	if l.dialect == assentsql.MariaDB {
		insert += "ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance), held = held + VALUES(held)"
	} else {
		insert += "ON CONFLICT(account) DO UPDATE SET balance = ledger.balance + excluded.balance, held = ledger.held + excluded.held"
	}
	_, err := tx.ExecContext(ctx, l.sql(insert), account, balance, held)
	return err
}

func (l ledger) shown(ctx context.Context, tx *sql.Tx, account string) (balance, held int64, err error) {
	err = tx.QueryRowContext(ctx, l.sql("SELECT balance, held FROM ledger WHERE account = ?"), account).Scan(&balance, &held)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return balance, held, err
}

func (l ledger) read(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
	var r request
	if err := json.Unmarshal(call.Payload, &r); err != nil {
		return assent.Refused(err.Error()), nil
	}
	balance, held, err := l.shown(ctx, tx, r.Account)
	if err != nil {
		return assent.Reply{}, err
	}
	result, err := json.Marshal(map[string]int64{"balance": balance, "held": held})
	return assent.Done(result), err
}

func (l ledger) forward(balance, held int64) assentsql.Handler {
	return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		var r request
		if err := json.Unmarshal(call.Payload, &r); err != nil {
			return assent.Refused(err.Error()), nil
		}
		if err := l.change(ctx, tx, r.Account, balance*r.Amount, held*r.Amount); err != nil {
			return assent.Reply{}, err
		}
		has, keeps, err := l.shown(ctx, tx, r.Account)
		if err != nil {
			return assent.Reply{}, err
		}
		if has+keeps < 0 {
			return assent.Refused("not enough"), nil
		}
		time.Sleep(time.Duration(r.WaitMS) * time.Millisecond)
		if r.CrashAtStart == l.start {
			return assent.Reply{}, syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		if r.Fail {
			return assent.Reply{}, errors.New("failed as it was told")
		}
		if r.RefuseHex != "" {
			reason, err := hex.DecodeString(r.RefuseHex)
			return assent.Refused(string(reason)), err
		}
		return l.read(ctx, tx, call)
	}
}

func (l ledger) finish(balance, held int64) assentsql.Handler {
	return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		var r request
		if err := json.Unmarshal(call.Payload, &r); err != nil {
			return assent.Reply{}, err
		}
		return assent.Done(nil), l.change(ctx, tx, r.Account, balance*r.Amount, held*r.Amount)
	}
}

func echo(_ context.Context, _ *sql.Tx, call *assent.Call) (assent.Reply, error) {
	results := map[string]string{}
	for branch, result := range call.Results {
		results[branch] = string(result)
	}
	headers := call.Headers
	if headers == nil {
		headers = map[string]string{}
	}
	result, err := json.Marshal(map[string]any{
		"headers": headers, "results": results, "traceparent": call.Traceparent, "tracestate": call.Tracestate,
	})
	return assent.Done(result), err
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
