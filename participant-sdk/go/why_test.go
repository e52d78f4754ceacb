package assent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/internal/rig"
)

// authority is a CA in a folder of its own.
type authority struct {
	t      *testing.T
	folder string
	own    *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, folder: t.TempDir()}
	a.own, a.key = a.make("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.folder, name) }

func (a *authority) write(name, kind string, data []byte) {
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// make has NAME.pem and NAME.key in the folder.
func (a *authority) make(name string, form *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	form.SerialNumber, form.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	form.NotBefore, form.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	by, signer := a.own, a.key
	if by == nil {
		by, signer = form, key
	}
	data, err := x509.CreateCertificate(rand.Reader, form, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", data)
	a.write(name+".key", "PRIVATE KEY", secret)
	made, err := x509.ParseCertificate(data)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func leaf() *x509.Certificate {
	return &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
}

// heard keeps lines.
type heard struct {
	mutex sync.Mutex
	lines []string
}

func (h *heard) add(line string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.lines = append(h.lines, line)
}

func (h *heard) Write(data []byte) (int, error) {
	h.add(string(data))
	return len(data), nil
}

func (h *heard) all() []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return append([]string(nil), h.lines...)
}

func shopOf(options assent.ParticipantOptions) *assent.Participant {
	options.Service = "shop"
	return assent.NewParticipant(options).Saga("ship", assent.Saga{Action: func(context.Context, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }})
}

// reasons: a participant that dials again and again has one line, and a call the same in its error.
func reasons(t *testing.T, d assent.Dialling, code, words string) {
	t.Helper()
	lines := &heard{}
	p := shopOf(assent.ParticipantOptions{Dialling: d, Log: lines.add, ReconnectInitial: time.Millisecond, ReconnectMax: time.Millisecond})
	ctx, stop := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer stop()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	said := lines.all()
	line := "not connected endpoint=" + d.Endpoints[0] + " reason=\"" + code + ": " + words
	if len(said) != 2 || !strings.HasPrefix(said[0], line) || said[1] != "stopped" {
		t.Errorf("%q, not %q alone", said, line)
	}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: d, GiveUpAfter: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err = client.Get(t.Context(), "g"); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, not %q", err, words)
	}
}

func TestWhyThereIsNoConnection(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	reasons(t, assent.Dialling{Endpoints: []string{nobody.Addr().String()}}, "UNAVAILABLE", "connection refused; is assentd running there?")

	ca, other := newAuthority(t), newAuthority(t)
	ca.make("own", leaf())
	ca.make("mine", leaf())
	daemon := rig.StartDaemon(t, "--tls-cert", ca.path("own.pem"), "--tls-key", ca.path("own.key"), "--tls-client-ca", ca.path("ca.pem"))
	with := func(change func(*assent.Dialling)) assent.Dialling {
		d := assent.Dialling{Endpoints: []string{daemon.Endpoint}, CAFile: ca.path("ca.pem"), CertFile: ca.path("mine.pem"), KeyFile: ca.path("mine.key")}
		change(&d)
		return d
	}
	reasons(t, with(func(d *assent.Dialling) { d.CAFile = other.path("ca.pem") }), "UNAVAILABLE", "the certificate there is not signed by the CA that was given")
	reasons(t, with(func(d *assent.Dialling) { d.ServerName = "elsewhere.example" }), "UNAVAILABLE", "the certificate there is not one for the name that was dialled")
	reasons(t, with(func(d *assent.Dialling) { d.CertFile, d.KeyFile = "", "" }), "UNAVAILABLE", "the connection is closed as soon as it is made; does it want a certificate")
	reasons(t, assent.Dialling{Endpoints: []string{daemon.Endpoint}}, "UNAVAILABLE", "no gRPC at that address; does it want TLS, or is it another port?")
	plain := rig.StartDaemon(t)
	reasons(t, with(func(d *assent.Dialling) { d.Endpoints = []string{plain.Endpoint} }), "UNAVAILABLE", "there is no TLS at that address")
}

func TestWhyItIsNotLetIn(t *testing.T) {
	folder := t.TempDir()
	rules, tokens := filepath.Join(folder, "rules"), filepath.Join(folder, "tokens")
	for path, text := range map[string]string{rules: "allow token:shop as participant for other\n", tokens: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := exec.Command(rig.Binary(t, "assentctl"), "auth", "token", "shop", "--append", tokens).Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(made))
	daemon := rig.StartDaemon(t, "--auth-rules", rules, "--auth-tokens", tokens, "--max-auth-failures-per-address", "0") // it dials as often as it likes
	for token, code := range map[string]string{"": "UNAUTHENTICATED", "nobodys": "UNAUTHENTICATED", words[len(words)-1]: "PERMISSION_DENIED"} {
		lines := &heard{}
		p := shopOf(assent.ParticipantOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}, Token: token}, Log: lines.add})
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		go func() { _ = p.Run(ctx) }()
		err := p.WaitConnected(ctx)
		stop()
		if err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%v, not %s", err, code)
		}
		said := lines.all()
		if len(said) == 0 || !strings.HasPrefix(said[0], "not connected endpoint="+daemon.Endpoint+" reason=\""+code+": ") {
			t.Errorf("%q, not %s", said, code)
		}
		if token != "" && strings.Contains(strings.Join(said, ""), token) {
			t.Error("the token is in the log")
		}
	}
}

// It was silent, unless it was told whom to tell.
func TestItIsToldByDefaultAndAgainWhenItChanges(t *testing.T) {
	lines := &heard{}
	before := log.Writer()
	log.SetOutput(lines)
	defer log.SetOutput(before)
	daemon := rig.StartDaemon(t)
	p := shopOf(assent.ParticipantOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	said := func(count int, what string) func() bool {
		return func() bool { return strings.Count(strings.Join(lines.all(), ""), what) == count }
	}
	rig.Until(t, "it is connected", said(1, "assent: connected session="))
	daemon.Kill()
	rig.Until(t, "it has lost it", said(1, "assent: disconnected endpoint="+daemon.Endpoint+" reason="))
	rig.Until(t, "nobody listens", said(1, "connection refused; is assentd running there?"))
	daemon.Start()
	rig.Until(t, "it is connected again", said(2, "assent: connected session="))
	stop()
	<-ended
	if said := lines.all(); len(said) != 5 {
		t.Errorf("%q", said)
	}
}

// Whoever stopped it while an address took its connection and said nothing waited for the whole grace.
func TestItStopsWhileNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	taken := make(chan net.Conn)
	go func() {
		if link, err := silent.Accept(); err == nil {
			taken <- link
		}
	}()
	p := shopOf(assent.ParticipantOptions{Dialling: assent.Dialling{Endpoints: []string{silent.Addr().String()}}, StopGrace: time.Minute})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer (<-taken).Close()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not stop")
	}
}
