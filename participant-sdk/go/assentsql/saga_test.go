package assentsql_test

import (
	"context"
	"database/sql"
	"log"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

func ExampleKeeper_Saga() {
	ctx := context.Background()
	var db *sql.DB // the service's own
	hotel := assent.NewParticipant(assent.ParticipantOptions{Service: "hotel"})
	keeper, err := assentsql.Open(ctx, db, assentsql.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	book := func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO room VALUES (?, ?)", call.GID, string(call.Payload))
		return assent.Done([]byte("room 7")), err
	}
	giveBack := func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM room WHERE gid = ?", call.GID)
		return assent.Done(nil), err
	}
	keeper.Saga(hotel, "book", assentsql.Saga{Action: book, Compensate: giveBack})
	if err := hotel.Ask(keeper).Run(ctx); err != nil {
		log.Fatal(err)
	}
}
