// Package pgxlisten wakes relays of package assentsql when something is published on PostgreSQL, through the driver pgx
// (github.com/jackc/pgx/v5/stdlib). Without it a relay finds the row when it looks next, within 200 ms.
package pgxlisten

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"assent.example/sdk/assentsql"
)

const again = time.Second // after a connection was lost

// Listen calls wake at each commit that has published, until ctx ends. It takes a connection of db for itself.
//
//	go pgxlisten.Listen(ctx, db, relay.Wake)
func Listen(ctx context.Context, db *sql.DB, wake func()) {
	for ctx.Err() == nil {
		_ = listen(ctx, db, wake) // until then the relay looks by itself
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

func listen(ctx context.Context, db *sql.DB, wake func()) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(of any) error {
		session, isPgx := of.(*stdlib.Conn)
		if !isPgx {
			return fmt.Errorf("the driver is %T, not pgx", of)
		}
		if _, err := session.Conn().Exec(ctx, "LISTEN "+assentsql.OutboxChannel); err != nil {
			return err
		}
		wake() // what came before
		for {
			if _, err := session.Conn().WaitForNotification(ctx); err != nil {
				// It is not for others, who would be told.
				_ = session.Close()
				return driver.ErrBadConn
			}
			wake()
		}
	})
}
