package pgxlisten_test

import (
	"context"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentsql/pgxlisten"
	"assent.example/sdk/internal/rig"
)

// A commit that has published wakes, a rollback does not, and neither does the end of a server keep it from waking later.
func TestACommitWakes(t *testing.T) {
	base := rig.OpenPostgres(t)
	outbox, err := assentsql.OpenOutbox(t.Context(), base.DB, assentsql.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { pgxlisten.Listen(ctx, base.DB, func() { woken <- struct{}{} }); close(ended) }()
	publish := func(commits bool, options ...assentsql.PublishOption) {
		t.Helper()
		tx, err := base.DB.BeginTx(t.Context(), nil)
		if err == nil {
			err = outbox.Publish(t.Context(), tx, assent.NewTransaction().Saga("desk", "note", nil), options...)
		}
		if err == nil && commits {
			err = tx.Commit()
		} else if err == nil {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		<-woken // it listens
		publish(false)
		publish(true, assentsql.Quietly())
		if len(woken) != 0 {
			t.Error("woken without a need")
		}
		publish(true)
		<-woken
		base.Kill()
		base.Restart()
	}
	cancel()
	<-ended
}
