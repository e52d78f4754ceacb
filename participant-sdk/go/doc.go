// Package assent is the SDK of Assent, a coordinator of distributed transactions, for Go.
//
// A service that takes part in transactions:
//
//	payment := assent.NewParticipant(assent.ParticipantOptions{Service: "payment"})
//	payment.TCC("charge", assent.TCC{Try: reserve, Confirm: capture, Cancel: release})
//	err := payment.Run(ctx) // until ctx ends
//
// A program that begins them:
//
//	client, err := assent.NewClient(assent.ClientOptions{})
//	order := assent.NewTransaction().TCC("inventory", "reserve", items).TCC("payment", "charge", amount)
//	report, err := client.Submit(ctx, order)
//
// An abort is a Report, not an error. What each error means, and what to do next, is said at [Error].
//
// Handlers have to keep the contract of participants (docs/wire.md): the same call again has no second effect; done means
// durable; an undo may come before, or without, its forward operation. Package assentsql keeps it for you, within a local
// transaction of your own database: prefer it.
package assent

//go:generate ./generate.sh
