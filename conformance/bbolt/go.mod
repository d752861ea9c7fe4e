module github.com/seed-9c58b644/rio/conformance/bbolt

go 1.25.0

require (
	github.com/seed-9c58b644/rio/conformance/suite v0.0.0
	github.com/stretchr/testify v1.11.1
	go.etcd.io/bbolt v1.5.0
	go.etcd.io/gofail v0.2.0
	golang.org/x/sync v0.20.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/seed-9c58b644/rio v0.0.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace (
	github.com/seed-9c58b644/rio => ../..
	github.com/seed-9c58b644/rio/conformance/suite => ../suite
)
