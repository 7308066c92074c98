// Package express is an HTTP server that answers the usual calls of the busiest paths by itself, for a fraction of what net/http costs,
// and leaves everything else to net/http.
//
// # Usual calls
//
// A call is usual when all of this holds; its handler sees then what net/http would show it, and its caller reads what net/http would
// write, but for the order of fields, and chunks, which no answer here has:
//
//   - it is a POST by HTTP/1.1 of a path that the server was given, without escapes or query;
//   - its head is printable ASCII, and has up to 32 lines: a name of letters, digits and hyphens, a colon and a value;
//   - it has one Host, and one Content-Length, of its body; no Transfer-Encoding;
//   - it asks for nothing that concerns the connection or how its answer comes: no Expect, Upgrade, Prefer and their like;
//   - it arrives whole within a second of its first byte, and takes up to 8 KiB.
//
// # Connections
//
//	waiting    nothing of the next call is here; closed when it takes too long, or the server ends
//	answering  a call arrives, or is with its handler; the server that ends waits for it, and closes the connection then
//	handed     an unusual call came: it and all that follows on its connection are net/http's, from its first byte on
//
// # Invariants
//
//  1. Whatever is not surely usual is handed over, unread: what is wrong with it, net/http says.
//  2. What is answered here is read as net/http reads it, to the byte at which the next call begins. A fuzz test holds both against each
//     other: a server behind a proxy must not see other calls than the proxy does.
//  3. Calls of a connection are answered one by one, in their order.
//
// # Failures
//
// A handler that panics ends its connection, and is logged with its stack as net/http does it. Its caller's leaving is not noticed before
// the answer is written: what keeps a caller waiting for seconds must not be usual.
package express
