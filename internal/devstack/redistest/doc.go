// Package redistest gives a test a Redis of its own: a private redis-server that evicts nothing and keeps nothing,
// started for the test and stopped with it. REDIS_URL is not looked at, so that a test may flush, freeze and kill what
// it is given.
package redistest
