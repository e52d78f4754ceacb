package assent

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// So the library begins when there was no connection. What a coordinator says is never changed.
var unconnected = regexp.MustCompile(`^(connection error|name resolver error|error reading from server|(read|write) tcp|(read|write) unix)`)

// What its words mean to a person; proto/tls says the same for C++.
var meanings = []struct{ said, means string }{
	{"first record does not look like a TLS handshake", "there is no TLS at that address"},
	{"looked like an HTTP/1.1 header", noGRPC},
	{"x509: certificate is valid for", anotherName},
	{"x509: certificate is not valid for any names", anotherName},
	{"x509: cannot validate certificate for", anotherName},
	{"x509:", "the certificate there is not signed by the CA that was given, or not valid now"},
	{"certificate required", anotherCertificate},
	{"remote error: tls:", anotherCertificate},
	{"produced zero addresses", "there is no host of that name"},
}

const (
	noGRPC             = "no gRPC at that address; does it want TLS, or is it another port?"
	anotherName        = "the certificate there is not one for the name that was dialled"
	anotherCertificate = "the connection is closed as soon as it is made; does it want a certificate, and not the one, if any, that this side shows?"
)

var hangsUp = regexp.MustCompile(`EOF|connection reset by peer|broken pipe|use of closed network connection`)

// whyEnded is how a call or a session ended that had a connection, in one line for people.
func whyEnded(err error) string {
	if errors.Is(err, io.EOF) {
		return "the coordinator ended the session"
	}
	if ended, ok := status.FromError(err); ok {
		return nameOf(ended.Code()) + ": " + ended.Message()
	}
	return err.Error()
}

// whyUnconnected is why there was none. secure: it was to go over TLS.
func whyUnconnected(err error, secure bool) string {
	said := status.Convert(err).Message()
	if status.Code(err) != codes.Unavailable || !unconnected.MatchString(said) {
		return whyEnded(err)
	}
	return nameOf(codes.Unavailable) + ": " + explained(said, secure)
}

func explained(said string, secure bool) string {
	for _, one := range meanings {
		if strings.Contains(said, one.said) {
			return one.means
		}
	}
	if hangsUp.MatchString(said) {
		if secure {
			// TLS 1.3 tells of a certificate that is wanted, or not taken, when the client has done its part.
			return anotherCertificate
		}
		return noGRPC
	}
	cause := strings.Trim(said[strings.LastIndex(said, ": ")+1:], ` "`)
	return fmt.Sprintf("%s; is assentd running there?", cause)
}

var wordEnd = regexp.MustCompile(`([a-z])([A-Z])`)

// nameOf is the code's name in other languages: PERMISSION_DENIED.
func nameOf(code codes.Code) string {
	return strings.ToUpper(wordEnd.ReplaceAllString(code.String(), "${1}_${2}"))
}
