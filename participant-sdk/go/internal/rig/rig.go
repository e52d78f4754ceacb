// Package rig starts, for tests, what users have: a real assentd, PostgreSQL and MariaDB, each on a private port and
// folder, and ends them.
package rig

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// Root is the project's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../..")
}

// Binary is the path of a program of the project: of ASSENT_BIN_DIR, or of the release build.
func Binary(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("ASSENT_BIN_DIR")
	if folder == "" {
		folder = filepath.Join(Root(), "build/release/bin")
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: build it first (tools/build.sh), or say where it is with ASSENT_BIN_DIR", err)
	}
	return path
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// Until a condition holds; a test that waits too long fails with what.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Daemon is a real assentd.
type Daemon struct {
	t         testing.TB
	Endpoint  string
	data      string
	arguments []string
	command   *exec.Cmd
}

// StartDaemon returns when it serves.
func StartDaemon(t testing.TB, arguments ...string) *Daemon {
	t.Helper()
	d := &Daemon{t: t, Endpoint: fmt.Sprintf("127.0.0.1:%d", freePort(t)), data: filepath.Join(t.TempDir(), "data"), arguments: arguments}
	d.Start()
	t.Cleanup(d.Kill)
	return d
}

// Start it again, with the same log.
func (d *Daemon) Start() {
	d.t.Helper()
	d.command = exec.Command(Binary(d.t, "assentd"), append([]string{"--listen", d.Endpoint, "--http-listen", "none", "--data", d.data}, d.arguments...)...)
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	d.command.Stderr = &log
	out, err := d.command.StdoutPipe()
	if err == nil {
		err = d.command.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "see ") {
			go func() {
				for lines.Scan() {
				}
			}()
			return
		}
	}
	_ = d.command.Wait()
	d.t.Fatalf("assentd did not start: %s", log.String())
}

// Kill is kill -9.
func (d *Daemon) Kill() {
	if d.command != nil {
		_ = d.command.Process.Kill()
		_ = d.command.Wait()
		d.command = nil
	}
}

// Database of one kind, opened.
type Database struct {
	DB     *sql.DB
	Source string // of its driver
	// Kill is kill -9 of its server, Restart starts it again; with the same folder and port.
	Kill, Restart func()
	// NewDatabase makes another one in the same server, and gives its source.
	NewDatabase func() string
}

// forgetConnections that went with the server: each would say so once.
func (d *Database) forgetConnections() {
	d.DB.SetMaxIdleConns(-1)
	d.DB.SetMaxIdleConns(2)
}

// OpenSQLite opens a new file.
func OpenSQLite(t testing.TB) *Database {
	t.Helper()
	return opened(t, "sqlite", filepath.Join(t.TempDir(), "books.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate")
}

func opened(t testing.TB, driver, source string) *Database {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	t.Cleanup(func() { db.Close() })
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return &Database{DB: db, Source: source}
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", driver, err)
		}
	}
}

// OpenPostgres starts a server of its own; the test is skipped where there is none installed.
func OpenPostgres(t testing.TB) *Database {
	t.Helper()
	return OpenPostgresWith(t, "{}")
}

// OpenPostgresWith settings, a dictionary of Python.
func OpenPostgresWith(t testing.TB, settings string) *Database {
	t.Helper()
	script := `import sys
sys.path.insert(0, sys.argv[1])
from postgresql import Server, bin_folder
if bin_folder() is None: sys.exit(3)
with Server(eval(sys.argv[2])) as server:
    print(server.url(server.new_database()), flush=True)
    for line in sys.stdin:
        said = getattr(server, line.strip())()
        print(server.url(said) if said else "", flush=True)`
	command := exec.Command("/usr/bin/python3", "-B", "-c", script, filepath.Join(Root(), "tests/support"), settings)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		if command.Wait(); command.ProcessState.ExitCode() == 3 {
			t.Skip("no PostgreSQL is installed")
		}
		t.Fatalf("PostgreSQL did not start: %v", err)
	}
	t.Cleanup(func() { stdin.Close(); _ = command.Wait() })
	tell := func(what string) string {
		t.Helper()
		fmt.Fprintln(stdin, what)
		said, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("PostgreSQL, %s: %v", what, err)
		}
		return strings.TrimSpace(said)
	}
	base := opened(t, "pgx", strings.TrimSpace(line))
	base.Kill = func() { tell("kill") }
	base.Restart = func() { tell("start"); base.forgetConnections() }
	base.NewDatabase = func() string { return tell("new_database") }
	return base
}

// OpenMariaDB starts a server of its own; the test is skipped where there is none installed.
func OpenMariaDB(t testing.TB) *Database {
	t.Helper()
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		if server = "/usr/sbin/mariadbd"; !exists(server) {
			t.Skip("no MariaDB is installed")
		}
	}
	folder, err := os.MkdirTemp("", "assent-mariadb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	as := "--user=" + who.Username
	data := filepath.Join(folder, "data")
	// A server that starts deletes the temporary tables that it finds: those of others, where the folder is shared.
	temporary := "--tmpdir=" + folder
	install := []string{"--no-defaults", "--datadir=" + data, temporary, "--auth-root-authentication-method=normal", "--skip-test-db", as}
	if text, err := exec.Command("mariadb-install-db", install...).CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v: %s", err, text)
	}
	port := freePort(t)
	var command *exec.Cmd
	var ended chan struct{}
	var log *strings.Builder // to be read when it has ended
	start := func() {
		command = exec.Command(server, "--no-defaults", as, "--datadir="+data, temporary, "--socket="+folder+"/socket",
			fmt.Sprintf("--port=%d", port), "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=1", "--skip-name-resolve")
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		log, ended = &strings.Builder{}, make(chan struct{})
		command.Stderr = log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		go func(command *exec.Cmd, ended chan struct{}) { _ = command.Wait(); close(ended) }(command, ended)
	}
	kill := func() { _ = command.Process.Kill(); <-ended }
	// Somebody's connection may have its port for a moment: it is started again, and says why.
	startAgain := func() {
		select {
		case <-ended:
			t.Logf("MariaDB has ended: %s", log.String())
			start()
		default:
		}
	}
	start()
	t.Cleanup(func() { kill() })
	Until(t, "MariaDB listens", func() bool {
		startAgain()
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	base := opened(t, "mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql", port))
	base.Kill = kill
	base.Restart = func() {
		start()
		base.forgetConnections()
		Until(t, "MariaDB answers again", func() bool { startAgain(); return base.DB.Ping() == nil })
	}
	count := 0
	base.NewDatabase = func() string {
		count++
		if _, err := base.DB.Exec(fmt.Sprintf("CREATE DATABASE test_%d", count)); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(base.Source, "mysql") + fmt.Sprintf("test_%d", count)
	}
	return base
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
