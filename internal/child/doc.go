// Package child runs processes that die with the one that started them, even when that one is killed: a guardian, which outlives it just
// long enough, kills what is left. A process begins to work only when the guardian knows it, so there is no gap.
package child
