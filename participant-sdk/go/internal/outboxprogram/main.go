// A program for tests of the outbox between languages: DRIVER SOURCE ENDPOINT, then publish COUNT [KEY], relay, or serve (a
// participant that prints what comes).
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strconv"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

var dialects = map[string]assentsql.Dialect{"sqlite": assentsql.SQLite, "pgx": assentsql.PostgreSQL, "mysql": assentsql.MariaDB}

func main() {
	driver, source, endpoint, words := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	ctx := context.Background()
	dialling := assent.Dialling{Endpoints: []string{endpoint}}
	if words[0] == "serve" {
		desk := assent.NewParticipant(assent.ParticipantOptions{Service: "desk", Dialling: dialling})
		desk.Saga("note", assent.Saga{Action: func(_ context.Context, call *assent.Call) (assent.Reply, error) {
			fmt.Printf("%s\n", call.Payload)
			return assent.Done(nil), nil
		}})
		must(desk.Run(ctx))
	}
	db, err := sql.Open(driver, source)
	must(err)
	outbox, err := assentsql.OpenOutbox(ctx, db, dialects[driver])
	must(err)
	if words[0] == "relay" {
		client, err := assent.NewClient(assent.ClientOptions{Dialling: dialling})
		must(err)
		assentsql.NewRelay(outbox, client, assentsql.RelayOptions{}).Run(ctx)
	}
	count, err := strconv.Atoi(words[1])
	must(err)
	var options []assentsql.PublishOption
	if len(words) > 2 {
		options = append(options, assentsql.InOrder(words[2]))
	}
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	for i := range count {
		must(outbox.Publish(ctx, tx, assent.NewTransaction().Saga("desk", "note", fmt.Append(nil, "go ", i)), options...))
	}
	must(tx.Commit())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
