// Package socket reads and writes connections without telling Go's scheduler that a system call begins.
//
// A socket of the net package never blocks in the kernel: a read that finds nothing returns at once, and its goroutine is parked until the
// poller sees something. Still each read and write is announced as a call that might block. When the kernel takes the thread off its core
// meanwhile, and it does when the write woke who reads, the runtime's monitor sees a call that lasts, takes the thread's processor away and
// starts another thread with it; and because it found work to do, it looks again every 20 µs. On two cores full of short calls that is a
// tenth of all time. Calls that are not announced are seen as Go code that runs, which is what they are.
//
// # Invariants
//
//  1. A connection behaves as the one that it wraps: deadlines, errors, the end of a stream, Close while somebody waits. The conformance
//     tests of golang.org/x/net hold it to that.
//  2. No call that is not announced moves more than 64 KiB: it holds a processor for that long, and everybody waits for it who stops the
//     world. Longer writes are announced.
//  3. What one Write gives is not mixed with what another gives, and a byte is never written twice.
//
// # Failures
//
// There are none of its own. A connection that it does not know, such as TLS, it leaves as it is; on systems and processors other than
// Linux on amd64 and arm64, and under sanitizers, any connection.
package socket
