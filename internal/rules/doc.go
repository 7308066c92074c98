// Package rules lists the rules of all rooms, so that everything that opens a ledger decides by the same ones: the worker, the
// demo, the bench and the tests. It decides nothing itself.
package rules
