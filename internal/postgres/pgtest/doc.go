// Package pgtest gives a test a PostgreSQL database of its own, migrated and empty, in a few hundredths of a second.
//
// The server is the one that DATABASE_URL names, else a private one, started with the first database that a test
// binary asks for and gone with the binary. On the server the migrations run once, into a template that is named after
// their content; each test's database is a copy of it. Test binaries that share a server make a template once: they
// take turns by an advisory lock.
//
// When the test ends its OnCleanup functions run against the database, then the pools close, then it is dropped. A
// connection that the test did not give back is an error of the test.
//
// The private server is fast and not durable. A test that crashes or restarts PostgreSQL takes a durable server of its
// own by NewPrivate.
//
// On a server of yours the names are settled_template_<hash>, kept for the next run, and settled_test_<random>, left
// behind only by a test binary that is killed. Both may be dropped at any time when no test runs.
package pgtest
