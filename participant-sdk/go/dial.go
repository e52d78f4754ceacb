package assent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const defaultEndpoint = "127.0.0.1:7400"

// Dialling says how coordinators are reached. The zero value is the environment, then 127.0.0.1:7400 without TLS.
type Dialling struct {
	// "host:port" or "unix:PATH". Several: of coordinators that share one log. Empty: ASSENT_ENDPOINT (several: separated
	// by commas), or 127.0.0.1:7400.
	Endpoints []string
	// Files in PEM. All four empty: ASSENT_TLS_CA, ASSENT_TLS_CERT, ASSENT_TLS_KEY and ASSENT_TLS_SERVER_NAME; without
	// those there is no TLS. Certificate and key are read with each handshake, the CA at the start.
	CAFile, CertFile, KeyFile, ServerName string
	// What is shown as "authorization: Bearer TOKEN", or a file with it, which is read with each call. Both empty:
	// ASSENT_TOKEN, or ASSENT_TOKEN_FILE. Never over a network without TLS.
	Token, TokenFile string
	// A silent connection is probed this often. 0: every 20 s.
	Keepalive time.Duration
	// More for gRPC, for tests and for those who know why.
	Options []grpc.DialOption
}

func (d Dialling) withEnvironment() Dialling {
	if len(d.Endpoints) == 0 {
		for _, word := range strings.Split(os.Getenv("ASSENT_ENDPOINT"), ",") {
			if word = strings.TrimSpace(word); word != "" {
				d.Endpoints = append(d.Endpoints, word)
			}
		}
	}
	if len(d.Endpoints) == 0 {
		d.Endpoints = []string{defaultEndpoint}
	}
	if d.CAFile == "" && d.CertFile == "" && d.KeyFile == "" && d.ServerName == "" {
		d.CAFile, d.CertFile = os.Getenv("ASSENT_TLS_CA"), os.Getenv("ASSENT_TLS_CERT")
		d.KeyFile, d.ServerName = os.Getenv("ASSENT_TLS_KEY"), os.Getenv("ASSENT_TLS_SERVER_NAME")
	}
	if d.Token == "" && d.TokenFile == "" {
		d.Token, d.TokenFile = os.Getenv("ASSENT_TOKEN"), os.Getenv("ASSENT_TOKEN_FILE")
	}
	if d.Keepalive == 0 {
		d.Keepalive = keepalivePeriod
	}
	return d
}

// optionsFor are those of one endpoint's connection; an error says which setting is wrong.
func (d Dialling) optionsFor(endpoint string) ([]grpc.DialOption, error) {
	secure, err := d.tls()
	if err != nil {
		return nil, err
	}
	local := strings.HasPrefix(endpoint, "unix:")
	options := []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: d.Keepalive, Timeout: d.Keepalive / 2, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithDisableServiceConfig(),
	}
	if secure == nil || local {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	}
	if d.Token != "" || d.TokenFile != "" {
		if secure == nil && !local && !isLoopback(endpoint) {
			return nil, fmt.Errorf("a token is not sent to %s without TLS: give a CA (ASSENT_TLS_CA)", endpoint)
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer{token: d.Token, file: d.TokenFile}))
	}
	return append(options, d.Options...), nil
}

func (d Dialling) isSecure(endpoint string) bool {
	return d.CAFile != "" && !strings.HasPrefix(endpoint, "unix:")
}

func (d Dialling) tls() (*tls.Config, error) {
	if (d.CertFile == "") != (d.KeyFile == "") {
		return nil, errors.New("a certificate and its key belong together: one of the two is missing")
	}
	if d.CAFile == "" {
		if d.CertFile != "" || d.ServerName != "" {
			return nil, errors.New("TLS needs the CA that signs the coordinators' certificates (ASSENT_TLS_CA)")
		}
		return nil, nil
	}
	pem, err := os.ReadFile(d.CAFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: d.ServerName, RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", d.CAFile)
	}
	if d.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(d.CertFile, d.KeyFile); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(d.CertFile, d.KeyFile)
			return &pair, err
		}
	}
	return config, nil
}

func isLoopback(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// bearer shows a token with each call. Where it may go without TLS, optionsFor has looked.
type bearer struct{ token, file string }

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token := b.token
	if token == "" {
		text, err := os.ReadFile(b.file)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(text))
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

func dial(d Dialling, endpoint string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	options, err := d.optionsFor(endpoint)
	if err != nil {
		return nil, err
	}
	target := endpoint
	if !strings.HasPrefix(endpoint, "unix:") {
		target = "dns:///" + endpoint
	}
	return grpc.NewClient(target, append(options, more...)...)
}
