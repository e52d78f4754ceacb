// The client that assent-contract examines (docs/contract.md).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	assent "assent.example/sdk"
)

func main() {
	kind := os.Getenv("ASSENT_CONTRACT_CALL")
	if kind != "submit" && kind != "interactive" {
		os.Exit(77)
	}
	ms, err := strconv.Atoi(os.Getenv("ASSENT_CONTRACT_GIVE_UP_MS"))
	if err != nil {
		log.Fatal(err)
	}
	patience := time.Duration(ms) * time.Millisecond
	client, err := assent.NewClient(assent.ClientOptions{GiveUpAfter: patience, CallTimeout: patience + 5*time.Second})
	if err != nil {
		log.Fatal(err)
	}
	var group sync.WaitGroup
	var mutex sync.Mutex
	for _, gid := range strings.Split(os.Getenv("ASSENT_CONTRACT_GIDS"), ",") {
		group.Go(func() {
			report, err := run(client, kind, gid)
			line, _ := json.Marshal(map[string]string{"gid": gid, "conclusion": concluded(report, err), "detail": fmt.Sprint(err)})
			mutex.Lock()
			defer mutex.Unlock()
			fmt.Println(string(line))
		})
	}
	group.Wait()
}

func run(client *assent.Client, kind, gid string) (*assent.Report, error) {
	ctx := context.Background()
	payload, _ := json.Marshal(map[string]any{"account": gid, "amount": 1})
	order := assent.NewTransaction().WithGID(gid).Deadline(20 * time.Second)
	if kind == "submit" {
		return client.Submit(ctx, order.Saga("contract", "add", payload))
	}
	open, err := client.Begin(ctx, order)
	if err != nil {
		return nil, err
	}
	if _, err := open.Saga(ctx, "contract", "add", payload, assent.ID("1")); err != nil {
		return nil, err
	}
	return open.Commit(ctx)
}

func concluded(report *assent.Report, err error) string {
	switch {
	case err == nil && report.Committed():
		return "committed"
	case err == nil && report.Aborted(), errors.Is(err, assent.ErrAborted):
		return "aborted"
	case errors.Is(err, assent.ErrUnavailable):
		return "not-begun"
	case errors.Is(err, assent.ErrInvalid), errors.Is(err, assent.ErrAlreadyExists), errors.Is(err, assent.ErrState), errors.Is(err, assent.ErrDataLoss):
		return "failed"
	}
	return "unknown"
}
