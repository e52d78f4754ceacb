// An order: an account is charged 60 coins. More branches, of other services, would be charged, reserved or booked with it, or none.
package main

import (
	"context"
	"fmt"
	"log"

	assent "assent.example/sdk"
)

func main() {
	client, err := assent.NewClient(assent.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	order := assent.NewTransaction().TCC("payment", "charge", []byte("60"))
	report, err := client.Submit(context.Background(), order)
	if err != nil {
		log.Fatal(err) // its kind says what to do next
	}
	if report.Committed() {
		fmt.Println("paid")
	} else {
		fmt.Println("not paid: " + report.AbortReason)
	}
}
