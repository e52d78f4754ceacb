// Package example holds the README to what it says.
package example

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"assent.example/sdk/internal/rig"
)

func TestTheReadmeHasTheProgram(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("payment/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
		t.Error("README.md has another program than example/payment/main.go")
	}
}

// In a project of its own, in a clean folder, as the README says.
func TestAProjectFromTheReadme(t *testing.T) {
	folder := t.TempDir()
	sdk, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("payment/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "main.go"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"go mod init shop", "go mod edit -require assent.example/sdk@v0.0.0 -replace assent.example/sdk=" + sdk, "go mod tidy", "go build -o payment ."} {
		command := exec.Command("sh", "-c", words)
		command.Dir = folder
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", words, err, text)
		}
	}
	daemon := rig.StartDaemon(t)
	payment := exec.Command("./payment")
	payment.Dir = folder
	payment.Env = append(os.Environ(), "ASSENT_ENDPOINT="+daemon.Endpoint)
	payment.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := payment.Start(); err != nil {
		t.Fatal(err)
	}
	for coins, outcome := range map[string]string{"60": "COMMITTED", "500": "not enough coins"} {
		ctl := exec.Command(rig.Binary(t, "assentctl"), "--endpoint", daemon.Endpoint, "submit")
		ctl.Stdin = strings.NewReader(`{"branches": [{"protocol": "tcc", "service": "payment", "action": "charge", "payload": ` + coins + `}]}`)
		text, _ := ctl.CombinedOutput()
		if !strings.Contains(string(text), outcome) {
			t.Errorf("%s coins: %s", coins, text)
		}
	}
	if err := payment.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := payment.Wait(); err != nil {
		t.Errorf("it does not end in order: %v", err)
	}
}
