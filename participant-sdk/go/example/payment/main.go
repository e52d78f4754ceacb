// A payment service: it keeps an account, from which an order's amount is reserved, then taken or given back.
package main

import (
	"context"
	"database/sql"
	"log"
	"os/signal"
	"strconv"
	"syscall"

	_ "modernc.org/sqlite"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	db, err := sql.Open("sqlite", "payment.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	must(err)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS account(coins INTEGER NOT NULL, reserved INTEGER NOT NULL);
		INSERT INTO account SELECT 100, 0 WHERE NOT EXISTS (SELECT 1 FROM account)`)
	must(err)

	payment := assent.NewParticipant(assent.ParticipantOptions{Service: "payment"})
	keeper, err := assentsql.Open(ctx, db, assentsql.SQLite)
	must(err)
	keeper.TCC(payment, "charge", assentsql.TCC{Try: move(-1, 1), Confirm: move(0, -1), Cancel: move(1, -1)})
	must(payment.Ask(keeper).Run(ctx))
}

// move changes the account by the call's amount, as often as it is asked, once.
func move(coins, reserved int) assentsql.Handler {
	return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		amount, err := strconv.Atoi(string(call.Payload))
		if err != nil || amount <= 0 {
			return assent.Refused("the payload has to be a number of coins"), nil
		}
		result, err := tx.ExecContext(ctx, "UPDATE account SET coins = coins + ?1, reserved = reserved + ?2 WHERE coins + ?1 >= 0",
			coins*amount, reserved*amount)
		if err != nil {
			return assent.Reply{}, err // nothing has happened, and it is asked again
		}
		if changed, _ := result.RowsAffected(); changed == 0 {
			return assent.Refused("not enough coins"), nil
		}
		return assent.Done(nil), nil
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
