// Package example holds the README to what it says.
package example

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"assent.example/sdk/internal/rig"
)

var programs = []string{"payment", "order", "shop"}

func TestTheReadmeHasThePrograms(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		program, err := os.ReadFile(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
			t.Errorf("README.md has another program than example/%s/main.go", name)
		}
	}
}

// Its other lines are those of examples that are compiled, whatever column they begin in.
func TestTheReadmeHasTheExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, words := range map[string]string{"../transaction_test.go": "trip := ", "../assentsql/saga_test.go": "keeper.Saga(",
		"../assentsql/enlist_test.go": "ship := "} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(readme), "```go\n"+words)
		snippet, _, ended := strings.Cut(words+rest, "```")
		if !found || !ended || !strings.Contains(string(source), "\t"+strings.TrimSuffix(strings.ReplaceAll(snippet, "\n", "\n\t"), "\t")) {
			t.Errorf("README.md has other lines behind %q than %s", words, file)
		}
	}
}

// In a project of its own, in a clean folder, as the README says.
func TestAProjectFromTheReadme(t *testing.T) {
	folder := t.TempDir()
	sdk, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if err := os.CopyFS(filepath.Join(folder, name), os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range []string{"go mod init shop", "go mod edit -require assent.example/sdk@v0.0.0 -replace assent.example/sdk=" + sdk, "go mod tidy",
		"go build -o bin/ ./..."} {
		command := exec.Command("sh", "-c", words)
		command.Dir = folder
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", words, err, text)
		}
	}
	daemon := rig.StartDaemon(t)
	payment := exec.Command("bin/payment")
	payment.Dir = folder
	payment.Env = append(os.Environ(), "ASSENT_ENDPOINT="+daemon.Endpoint)
	var said bytes.Buffer
	payment.Stderr = &said
	payment.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := payment.Start(); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"paid\n", "not paid: branch 1 payment/charge refused: not enough coins\n"} {
		order := exec.Command("bin/order")
		order.Dir, order.Env = folder, payment.Env
		if text, err := order.CombinedOutput(); err != nil || string(text) != outcome {
			t.Errorf("%v: %s", err, text)
		}
	}
	shop := exec.Command("bin/shop")
	shop.Dir, shop.Env, shop.SysProcAttr = folder, payment.Env, payment.SysProcAttr
	if err := shop.Start(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(folder, "payment.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rig.Until(t, "the payment has followed its order", func() bool {
		var coins, reserved int
		return db.QueryRow("SELECT coins, reserved FROM account").Scan(&coins, &reserved) == nil && coins == 10 && reserved == 0
	})
	if err := errors.Join(shop.Process.Signal(syscall.SIGTERM), shop.Wait()); err != nil {
		t.Errorf("the shop does not end in order: %v", err)
	}
	if err := payment.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := payment.Wait(); err != nil {
		t.Errorf("it does not end in order: %v", err)
	}
	if !strings.Contains(said.String(), "assent: connected session=") {
		t.Errorf("it does not say that it is connected: %s", said.String())
	}
}
