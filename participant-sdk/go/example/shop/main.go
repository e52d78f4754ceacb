// A shop: it takes an order, and the payment follows if, and only if, the order is in its database.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	_ "modernc.org/sqlite"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	db, err := sql.Open("sqlite", "shop.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	must(err)
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS orders(gid TEXT PRIMARY KEY, coins INTEGER NOT NULL)")
	must(err)
	outbox, err := assentsql.OpenOutbox(ctx, db, assentsql.SQLite)
	must(err)
	client, err := assent.NewClient(assent.ClientOptions{})
	must(err)
	relay := assentsql.NewRelay(outbox, client, assentsql.RelayOptions{})

	must(takeOrder(ctx, db, outbox, 30))
	fmt.Println("ordered")
	relay.Run(ctx) // beside your server: go relay.Run(ctx), and relay.Wake() after a commit
}

// takeOrder writes both, or none: an error, a crash or a rollback leaves neither the order nor its payment.
func takeOrder(ctx context.Context, db *sql.DB, outbox *assentsql.Outbox, coins int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	payment := assent.NewTransaction().TCC("payment", "charge", fmt.Append(nil, coins))
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES(?, ?)", payment.GID(), coins); err != nil {
		return err
	}
	if err := outbox.Publish(ctx, tx, payment); err != nil {
		return err
	}
	return tx.Commit()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
