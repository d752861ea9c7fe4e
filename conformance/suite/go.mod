module github.com/seed-9c58b644/rio/conformance/suite

go 1.25.0

require github.com/seed-9c58b644/rio v0.0.0

require golang.org/x/sys v0.42.0 // indirect

replace github.com/seed-9c58b644/rio => ../..
