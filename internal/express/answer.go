package express

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/settled-dev/settled/internal/clock"
)

// answer is what a handler answers a call. It implements http.ResponseWriter, and is written when the handler has returned.
type answer struct {
	header http.Header
	status int // 0 until the handler has said
	body   []byte
	whole  []byte
}

// keptBytesMax is how much of an answer's memory a connection keeps for the next one.
const keptBytesMax = 4 << 10

func (a *answer) reset() {
	clear(a.header)
	a.status, a.body, a.whole = 0, a.body[:0], a.whole[:0]
	if cap(a.whole) > keptBytesMax {
		a.body, a.whole = nil, nil
	}
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The first status counts; informational ones are not sent.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
}

// Write implements http.ResponseWriter. It does not fail.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// asksToClose says that the handler wants the connection to end.
func (a *answer) asksToClose() bool { return strings.EqualFold(a.header.Get("Connection"), "close") }

// text is the answer as it goes over the wire; last says that the connection is closed after it. It is good until reset.
func (a *answer) text(last bool) []byte {
	a.WriteHeader(http.StatusOK)
	whole := strconv.AppendInt(append(a.whole[:0], "HTTP/1.1 "...), int64(a.status), 10)
	whole = append(append(append(whole, ' '), http.StatusText(a.status)...), "\r\n"...)
	for name, values := range a.header {
		if name == "Connection" || name == "Content-Length" || name == "Date" { // which are told below
			continue
		}
		for _, value := range values {
			whole = append(append(whole, name...), ": "...)
			whole = append(append(whole, oneLine.Replace(value)...), "\r\n"...)
		}
	}
	if last {
		whole = append(whole, "Connection: close\r\n"...)
	}
	whole = append(clock.System.Now().UTC().AppendFormat(append(whole, "Date: "...), http.TimeFormat), "\r\n"...)
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified { // these have no body
		a.whole = append(whole, "\r\n"...)
		return a.whole
	}
	whole = strconv.AppendInt(append(whole, "Content-Length: "...), int64(len(a.body)), 10)
	a.whole = append(append(whole, "\r\n\r\n"...), a.body...)
	return a.whole
}

// oneLine keeps a value from ending its field, as net/http does.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")
