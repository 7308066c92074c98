package express

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strings"
)

// callBytesMax is how large a usual call may be, its head included. Each connection holds as much.
const callBytesMax = 8 << 10

// fieldsMax is how many fields a usual call has in its head at most. A head is read anew with each piece of it that arrives, and its
// fields are kept for the connection's next call: neither may be made dear.
const fieldsMax = 32

// verdict says what the bytes at a connection's front are.
type verdict int

const (
	partial verdict = iota // what they are cannot be said yet
	unusual
	usual
)

// call is a usual call. Its body lies in its connection's bytes.
type call struct {
	path   string
	host   string
	header http.Header
	body   []byte
	length int // of head and body, in bytes
}

// read looks for a usual call at the front of what came. paths holds those that are served, each by itself.
func (c *call) read(came []byte, paths map[string]string) verdict {
	line, rest, ended := cutLine(came)
	if !ended {
		return partial
	}
	target, isPost := bytes.CutPrefix(line, []byte("POST "))
	target, isHTTP := bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	path, served := paths[string(target)]
	if !isPost || !isHTTP || !served {
		return unusual
	}
	c.path, c.host = path, ""
	clear(c.header)
	size := -1
	for fields := 0; ; fields++ {
		if line, rest, ended = cutLine(rest); !ended {
			return partial
		}
		if len(line) == 0 {
			break
		}
		if fields == fieldsMax || !c.readField(line, &size) {
			return unusual
		}
	}
	c.length = len(came) - len(rest) + size
	switch {
	case size < 0, c.host == "", c.length > callBytesMax:
		return unusual
	case len(rest) < size:
		return partial
	}
	c.body = rest[:size]
	return usual
}

// cutLine cuts the first line off, and says whether its end came.
func cutLine(came []byte) (line, rest []byte, ended bool) {
	line, rest, ended = bytes.Cut(came, []byte("\n"))
	line, returned := bytes.CutSuffix(line, []byte("\r"))
	if ended && !returned {
		line = []byte{0} // no usual line
	}
	return line, rest, ended
}

// readField reads a line of the head, and says whether it is usual. size is the body's, -1 until it was told.
func (c *call) readField(line []byte, size *int) bool {
	raw, text, found := bytes.Cut(line, []byte(":"))
	text = bytes.Trim(text, " ")
	if !found || !isName(raw) || !isPrintable(text) {
		return false
	}
	name, known := names[string(raw)]
	if !known {
		name = textproto.CanonicalMIMEHeaderKey(string(raw))
	}
	switch name {
	case "Host":
		once := c.host == ""
		c.host = string(text)
		return once && isHost(text)
	case "Content-Length":
		once := *size < 0
		*size = parseSize(text)
		if !once || *size < 0 {
			return false
		}
	case "Connection":
		if !strings.EqualFold(string(text), "keep-alive") {
			return false
		}
	case "Expect", "Http2-Settings", "Pragma", "Prefer", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return false
	}
	c.header[name] = append(c.header[name], string(text))
	return true
}

// names are the usual spellings of names that most calls have, so that they need not be made for each.
var names = spellings("Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Content-Type", "Host", "Traceparent",
	"User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id")

func spellings(canonical ...string) map[string]string {
	known := map[string]string{}
	for _, name := range canonical {
		known[name], known[strings.ToLower(name)] = name, name
	}
	return known
}

// parseSize reads a body's length; -1 says that it is none that a usual call has.
func parseSize(text []byte) int {
	if len(text) == 0 || len(text) > len("8192") {
		return -1
	}
	size := 0
	for _, b := range text {
		if !isDigit(b) {
			return -1
		}
		size = size*10 + int(b-'0')
	}
	return size
}

func isName(text []byte) bool {
	for _, b := range text {
		if !isLetter(b) && !isDigit(b) && b != '-' {
			return false
		}
	}
	return len(text) > 0
}

// isHost says whether text is a host name or address, perhaps with a port; net/http lets more through.
func isHost(text []byte) bool {
	for _, b := range text {
		if !isLetter(b) && !isDigit(b) && !bytes.ContainsRune([]byte("-._:[]"), rune(b)) {
			return false
		}
	}
	return len(text) > 0
}

func isPrintable(text []byte) bool {
	for _, b := range text {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

func isLetter(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }
func isDigit(b byte) bool  { return '0' <= b && b <= '9' }
