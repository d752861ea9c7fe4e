package main

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"github.com/seed-9c58b644/rio"
)

// statistics shows a ring's figures: as a page that keeps itself up to date, and as JSON.
type statistics struct {
	ring  *rio.Ring
	since time.Time
}

func (s statistics) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/rio", s.page)
	mux.HandleFunc("GET /debug/rio.json", s.json)
}

// figures are what both show.
type figures struct {
	rio.Stats
	Waiting uint64  // what connections and listeners wait for; it takes no place
	Uptime  float64 // seconds
}

func (s statistics) figures() figures {
	st := s.ring.Stats()
	return figures{st, st.Started - st.Completed - uint64(st.InFlight), time.Since(s.since).Seconds()}
}

func (s statistics) json(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(s.figures())
}

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

func (s statistics) page(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	page.Execute(w, s.figures())
}
