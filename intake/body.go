package intake

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/settled-dev/settled/tasks"
)

// drainedBytesMax is how much of an overlong body is read and dropped before the connection is.
const drainedBytesMax = 32 << 20

// jsonInput is a body as it came, for operations whose parsers are stricter than a schema can say.
type jsonInput struct {
	body    []byte
	problem *Problem
}

// Resolve reads the body; huma calls it before the handler. It never holds more than the largest request.
func (in *jsonInput) Resolve(call huma.Context) []error {
	r, _ := humago.Unwrap(call)
	in.body, in.problem = readJSON(r, tasks.PayloadBytesMax)
	return nil
}

// readJSON reads the body of a call that declares JSON. It never holds more than most bytes.
func readJSON(r *http.Request, most int64) ([]byte, *Problem) {
	if !declaresJSON(r.Header.Get("Content-Type")) {
		return nil, undeclared(mediaJSON)
	}
	if isEncoded(r.Header.Get("Content-Encoding")) {
		return nil, encoded()
	}
	body, err := readAll(limitBody(r.Body, most), r.ContentLength, most)
	if bad := (*bodyError)(nil); errors.As(err, &bad) {
		dropBody(r)
		return nil, bad.problem
	}
	if err != nil {
		return nil, incomplete()
	}
	return body, nil
}

// dropBody lets a client finish that is still sending: it reads its answer only when it is done, or never. Beyond some size it must not keep
// us.
func dropBody(r *http.Request) { _, _ = io.Copy(io.Discard, io.LimitReader(r.Body, drainedBytesMax)) }

func declaresJSON(contentType string) bool {
	if contentType == mediaJSON { // as nearly everybody writes it
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == mediaJSON || strings.HasSuffix(mediaType, "+json"))
}

// isEncoded says whether a body is compressed or the like: nothing here unpacks it.
func isEncoded(encoding string) bool {
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

// readAll reads a body whose length may have been told, -1 if not; net/http ends one of a told length there. Room is made for what was
// told only when it may be so much.
func readAll(body io.Reader, told, most int64) ([]byte, error) {
	if told < 0 || told > most {
		return io.ReadAll(body)
	}
	text := make([]byte, told)
	_, err := io.ReadFull(body, text)
	return text, err
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
