package http

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
)

// withTLS makes a site speak TLS, and HTTP/2 on it.
func withTLS(h2 bool) func(*site) {
	return func(s *site) {
		s.TLS = &tls.Config{}
		s.EnableHTTP2 = h2
	}
}

// withH2C makes a site speak HTTP/2 without TLS.
func withH2C(s *site) {
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.tr.Protocols = s.Config.Protocols
}

// nobody hears what servers say of clients that are gone.
var nobody = log.New(io.Discard, "", 0)
