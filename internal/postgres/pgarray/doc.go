// Package pgarray encodes the arrays that batches are made of, straight into PostgreSQL's binary format. pgx encodes an array element by
// element through interfaces, allocating for each: a fifth of a worker's processor time, measured. Values and types are pgx's own; only
// the way into the buffer is shorter, and what this package does not know is left to pgx.
package pgarray
