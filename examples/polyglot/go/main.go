// The shop's payment service in Go: keeps the customers' accounts. One action, `charge`.
//
//	TCC    TRY holds, CONFIRM spends what is held, CANCEL gives it back
//	Saga   ACTION spends at once, COMPENSATE refunds
//
// However it goes, balance + held + spent of a customer is always what it was in the beginning.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	_ "modernc.org/sqlite"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

const tables = `
CREATE TABLE IF NOT EXISTS account(customer TEXT PRIMARY KEY, balance INTEGER NOT NULL,
  held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS payment(order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, coins INTEGER NOT NULL, status TEXT NOT NULL);
INSERT OR IGNORE INTO account(customer, balance) VALUES ('Ada', 5000), ('Bob', 5000)`

type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Coins    int64  `json:"coins"`
}

// move takes an order's coins from one column of its customer's account to another.
func move(from, to, status string) assentsql.Handler {
	change := fmt.Sprintf("UPDATE account SET %s = %s - ?1, %s = %s + ?1 WHERE customer = ?2 AND %s >= ?1", from, from, to, to, from)
	return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		var o order
		if err := json.Unmarshal(call.Payload, &o); err != nil || o.Coins <= 0 {
			return assent.Refused("the payload is not an order"), nil
		}
		result, err := tx.ExecContext(ctx, change, o.Coins, o.Customer)
		if err != nil {
			return assent.Reply{}, err // nothing has happened, and it is asked again
		}
		if changed, _ := result.RowsAffected(); changed == 0 {
			return assent.Refused(fmt.Sprintf("insufficient funds: %d coins asked of %s", o.Coins, o.Customer)), nil
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO payment VALUES (?1, ?2, ?3, ?4)
ON CONFLICT(order_id) DO UPDATE SET status = excluded.status`, o.ID, o.Customer, o.Coins, status)
		return assent.Done(nil), err
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	db, err := sql.Open("sqlite", os.Args[1]+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	must(err)
	_, err = db.Exec(tables)
	must(err)
	keeper, err := assentsql.Open(ctx, db, assentsql.SQLite)
	must(err)
	payment := assent.NewParticipant(assent.ParticipantOptions{Service: "payment-go", Log: func(line string) { log.Print(line) }})
	keeper.TCC(payment, "charge", assentsql.TCC{
		Try: move("balance", "held", "held"), Confirm: move("held", "spent", "paid"), Cancel: move("held", "balance", "released")})
	keeper.Saga(payment, "charge", assentsql.Saga{Action: move("balance", "spent", "paid"), Compensate: move("spent", "balance", "released")})
	must(payment.Ask(keeper).Run(ctx))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
