package example

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"assent.example/sdk/internal/rig"
)

// built is a program of this folder.
func built(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if text, err := exec.Command("go", "build", "-o", path, "./contract/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return path
}

// examine runs assent-contract, which ends with 0 when every rule that applies holds.
func examine(t *testing.T, environment []string, words ...string) string {
	t.Helper()
	command := exec.Command(rig.Binary(t, "assent-contract"), words...)
	command.Env = append(os.Environ(), environment...)
	text, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(text), " 0 broken") {
		t.Errorf("%v:\n%s", err, text)
	}
	return string(text)
}

func examineAll(t *testing.T, environment []string, words ...string) {
	t.Helper()
	if text := examine(t, environment, words...); !strings.Contains(text, " 0 do not apply") {
		t.Errorf("rules do not apply:\n%s", text)
	}
}

func TestTheParticipantIsHeldToTheContract(t *testing.T) {
	start := "exec " + built(t, "participant")
	t.Run("session", func(t *testing.T) { examine(t, nil, "participant", "--session", "127.0.0.1:0", "--start", start) })
	t.Run("unary", func(t *testing.T) { examine(t, nil, "participant", "--unary", "127.0.0.1:0", "--start", start) })
	// All of it: no rule may be one that does not apply.
	t.Run("session, PostgreSQL", func(t *testing.T) {
		url := rig.OpenPostgres(t).Source
		examineAll(t, []string{"CONTRACT_POSTGRES=" + url}, "participant", "--session", "127.0.0.1:0", "--start", start)
	})
	t.Run("session, MariaDB", func(t *testing.T) {
		url := rig.OpenMariaDB(t).NewDatabase()
		examineAll(t, []string{"CONTRACT_MARIADB=" + url}, "participant", "--session", "127.0.0.1:0", "--start", start)
	})
}

func TestTheInitiatorIsHeldToTheContract(t *testing.T) {
	examine(t, nil, "initiator", "--start", "exec "+built(t, "initiator"))
}
