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

func (a *answer) reset() {
	clear(a.header)
	a.status, a.body = 0, a.body[:0]
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The first status counts.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter. It does not fail.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// text is the answer as it goes over the wire; last says that the connection is closed after it. It is good until reset.
func (a *answer) text(last bool) []byte {
	a.WriteHeader(http.StatusOK)
	whole := strconv.AppendInt(append(a.whole[:0], "HTTP/1.1 "...), int64(a.status), 10)
	whole = append(append(append(whole, ' '), http.StatusText(a.status)...), "\r\n"...)
	for name, values := range a.header {
		for _, value := range values {
			whole = append(append(whole, name...), ": "...)
			whole = append(append(whole, oneLine.Replace(value)...), "\r\n"...)
		}
	}
	if last {
		whole = append(whole, "Connection: close\r\n"...)
	}
	whole = clock.System.Now().UTC().AppendFormat(append(whole, "Date: "...), http.TimeFormat)
	whole = strconv.AppendInt(append(whole, "\r\nContent-Length: "...), int64(len(a.body)), 10)
	a.whole = append(append(whole, "\r\n\r\n"...), a.body...)
	return a.whole
}

// oneLine keeps a value from ending its field, as net/http does.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")
