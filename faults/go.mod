module github.com/seed-9c58b644/rio/faults

go 1.25.0

require (
	github.com/seed-9c58b644/rio v0.0.0
	golang.org/x/sys v0.42.0
)

replace github.com/seed-9c58b644/rio => ../
