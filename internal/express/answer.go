package express

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/settled-dev/settled/internal/clock"
)

// answer is what a handler answers a call. It implements http.ResponseWriter, and is written when the handler has returned.
type answer struct {
	header http.Header
	status int // 0 until the handler has said
	body   bytes.Buffer
	whole  bytes.Buffer
}

func (a *answer) reset() {
	clear(a.header)
	a.status = 0
	a.body.Reset()
	a.whole.Reset()
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
	return a.body.Write(p)
}

// text is the answer as it goes over the wire; last says that the connection is closed after it. It is good until reset.
func (a *answer) text(last bool) []byte {
	a.WriteHeader(http.StatusOK)
	line := strconv.AppendInt(append(a.whole.AvailableBuffer(), "HTTP/1.1 "...), int64(a.status), 10)
	line = append(append(append(line, ' '), http.StatusText(a.status)...), "\r\n"...)
	a.whole.Write(line)
	_ = a.header.Write(&a.whole) // memory does not fail
	if last {
		a.whole.WriteString("Connection: close\r\n")
	}
	date := append(a.whole.AvailableBuffer(), "Date: "...)
	date = append(clock.System.Now().UTC().AppendFormat(date, http.TimeFormat), "\r\nContent-Length: "...)
	date = append(strconv.AppendInt(date, int64(a.body.Len()), 10), "\r\n\r\n"...)
	a.whole.Write(date)
	a.whole.Write(a.body.Bytes())
	return a.whole.Bytes()
}
