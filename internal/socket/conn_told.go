//go:build !linux || !(amd64 || arm64) || race || msan || asan

package socket

import "net"

// Wrap returns conn as it is: other systems and processors were not tried, and a sanitizer learns of what is read, and of the order that a message makes, only from calls that are
// announced.
func Wrap(conn net.Conn) net.Conn { return conn }
