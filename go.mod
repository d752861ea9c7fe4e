module github.com/seed-9c58b644/rio

go 1.25.0

require golang.org/x/sys v0.42.0
