package assent_test

import (
	"context"
	"fmt"
	"log"
	"time"

	assent "assent.example/sdk"
)

// A seat is reserved once a room is booked; if it is refused, the room is given back.
func ExampleTransaction() {
	client, err := assent.NewClient(assent.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	trip := assent.NewTransaction().WithGID("trip-17").Label("customer", "Ada").Deadline(20*time.Second).
		Saga("hotel", "book", []byte("3 nights"), assent.ID("room")).
		TCC("cinema", "seat", []byte("A2"), assent.After("room"))
	report, err := client.Submit(context.Background(), trip)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Outcome)
}
