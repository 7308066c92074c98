package intake

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// drainedBytesMax is how much of an overlong body is read and dropped before the connection is.
const drainedBytesMax = 32 << 20

// readJSON reads the body of a call that declares JSON. It never holds more than most bytes.
func readJSON(call huma.Context, most int64) ([]byte, *Problem) {
	if !declaresJSON(call.Header("Content-Type")) {
		return nil, undeclared(mediaJSON)
	}
	body, err := readAll(limitBody(call.BodyReader(), most), call.Header("Content-Length"), most)
	if bad := (*bodyError)(nil); errors.As(err, &bad) {
		// A client that is still sending reads its answer only when it is done; beyond some size it must not keep us.
		_, _ = io.Copy(io.Discard, io.LimitReader(call.BodyReader(), drainedBytesMax))
		return nil, bad.problem
	}
	return body, nil
}

func declaresJSON(contentType string) bool {
	if contentType == mediaJSON { // as nearly everybody writes it
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == mediaJSON || strings.HasSuffix(mediaType, "+json"))
}

// readAll reads a body whose length may have been told, into as much room as it needs. What was told is not trusted.
func readAll(body io.Reader, told string, most int64) ([]byte, error) {
	size, err := strconv.ParseInt(told, 10, 64)
	if err != nil || size < 0 || size > most {
		size = 0
	}
	room := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead)) // the end is only seen with room to read more
	_, err = room.ReadFrom(body)
	return room.Bytes(), err
}

// bodyError is a body that cannot be read to its end. It answers with a problem of its own.
type bodyError struct{ problem *Problem }

// Error implements error.
func (e *bodyError) Error() string { return e.problem.Detail }

// limitBody lets most bytes of a body through, then fails. It fails with nothing but a *bodyError.
func limitBody(body io.Reader, most int64) io.Reader {
	return &limitedBody{body: body, left: most, most: most}
}

type limitedBody struct {
	body       io.Reader
	left, most int64
}

// Read implements io.Reader.
func (l *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1] // one more tells that there is more
	}
	n, err := l.body.Read(p)
	switch {
	case int64(n) > l.left:
		n, err = int(l.left), &bodyError{problem: tooLarge(l.most)}
	case err != nil && !errors.Is(err, io.EOF):
		err = &bodyError{problem: incomplete()}
	}
	l.left -= int64(n)
	return n, err
}
