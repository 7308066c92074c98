// Package devstack starts PostgreSQL and Redis of our own for tests, the demo and development: from installed
// binaries, on free loopback ports, in directories of their own.
//
// # Invariants
//
//  1. A server never outlives the process that started it, however that process ends. A guardian (guardian.sh) holds
//     the reading end of a pipe whose other end only we have: when we die, even by SIGKILL, it reads the end of input,
//     kills the server and removes its directory. A server is not started before its guardian knows its process id.
//  2. Stop leaves nothing behind: no process, no directory.
//  3. Servers never run as root, which PostgreSQL refuses. Started by root they run as an unprivileged account.
//  4. A server that is reported ready is ours: it is asked who it is, so that another one that took the port in
//     between is not mistaken for it.
//  5. PostgreSQL is durable (fsync, synchronous_commit) unless Fast is asked for, so what the demo shows about killed
//     processes is true of a real server.
//
// # Ports
//
// Ports are drawn at random below the range that the kernel gives to outgoing connections. Inside that range a client
// that redials a stopped server can be given the server's own port as its source, connect to itself, and keep the
// server from ever binding it again.
//
// # Failures
//
// Missing binaries are a *MissingError, whose text says what was looked for, where, and how to install it. A server
// that ends while it starts is an error with the end of its log. A port taken by another process is retried on
// another port when the server is new; a restart keeps its port and waits for it.
//
// Works on Linux and macOS. Servers accept any local user without a password: never put real data in them.
package devstack
