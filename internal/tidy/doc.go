// Package tidy holds no code, only tests over the repository itself: rules of
// its structure that a machine can check with nothing but the Go toolchain.
//
//   - imports_test.go: which room may import which, and where a library may appear;
//   - calls_test.go: calls that are banned outside named places;
//   - shape_test.go: package comments, lengths of functions and files;
//   - text_test.go: marks of unfinished work, and names of somebody's machine;
//   - documents_test.go: files that documents name exist;
//   - compose_test.go: docker-compose.yml and the Dockerfile.
//
// Every rule is a table row with its reason, which the failure prints. Every check
// takes parsed sources, so that each has a test that plants a violation and sees
// it found. To change a rule, change its row and say why there.
package tidy
