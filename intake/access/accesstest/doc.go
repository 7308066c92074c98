// Package accesstest gives tests of the HTTP API what every caller needs: a guard over the test's database, and keys.
package accesstest
