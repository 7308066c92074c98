package intake

import (
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// drainedBytesMax is how much of an overlong body is read and dropped before the connection is.
const drainedBytesMax = 32 << 20

// readJSON reads the body of a call that declares JSON. It never holds more than most bytes.
func readJSON(call huma.Context, most int64) ([]byte, *Problem) {
	mediaType, _, err := mime.ParseMediaType(call.Header("Content-Type"))
	if err != nil || mediaType != mediaJSON && !strings.HasSuffix(mediaType, "+json") {
		return nil, undeclared(mediaJSON)
	}
	body, err := io.ReadAll(limitBody(call.BodyReader(), most))
	if bad := (*bodyError)(nil); errors.As(err, &bad) {
		// A client that is still sending reads its answer only when it is done; beyond some size it must not keep us.
		_, _ = io.Copy(io.Discard, io.LimitReader(call.BodyReader(), drainedBytesMax))
		return nil, bad.problem
	}
	return body, nil
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
