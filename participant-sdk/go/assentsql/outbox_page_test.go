package assentsql

import (
	"os"
	"strings"
	"testing"

	"assent.example/sdk/internal/rig"
)

// One table for all languages.
func TestTheTableIsThatOfThePage(t *testing.T) {
	page, err := os.ReadFile(rig.Root() + "/docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	for dialect, statements := range outboxSchema {
		for _, statement := range statements {
			if !strings.Contains(words(string(page)), words(statement+";")) {
				t.Errorf("docs/messages.md has another one for dialect %d: %s", dialect, statement)
			}
		}
	}
}
