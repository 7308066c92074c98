package express

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const path = "/v1/requests/refund:apply"

var served = map[string]string{path: path}

// text is a call with the lines of its head after the first.
func text(body string, lines ...string) string {
	return "POST " + path + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func sized(body string, lines ...string) string {
	return text(body, append(lines, "Host: settled.example:8080", fmt.Sprintf("Content-Length: %d", len(body)))...)
}

var usualCalls = map[string]string{
	"as most clients write it": sized(`{"amount":"1.00"}`, "Authorization: Bearer sk_a_b", "Content-Type: application/json"),
	"in lower case":            text("{}", "host: a", "content-length: 2", "user-agent: curl/8.0", "accept: */*"),
	"of an address":            text("{}", "Host: [::1]:8080", "Content-Length: 2"),
	"by a proxy":               sized("{}", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2", "Connection: Keep-Alive", "via: 1.1 a"),
	"without a body":           text("", "Host: a", "Content-Length: 0"),
	"with odd spaces":          text("{}", "Host:a", "Content-Length:   2  ", "X-Empty:"),
	"and the next one":         sized("{}") + sized("[]"),
}

var unusualCalls = map[string]string{
	"another method":                strings.Replace(sized("{}"), "POST", "GET", 1),
	"another path":                  strings.Replace(sized("{}"), path, path+"/bulk", 1),
	"a query":                       strings.Replace(sized("{}"), path, path+"?x=1", 1),
	"an escaped path":               strings.Replace(sized("{}"), ":", "%3A", 1),
	"HTTP/1.0":                      strings.Replace(sized("{}"), "HTTP/1.1", "HTTP/1.0", 1),
	"HTTP/2 without asking":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"TLS":                           "\x16\x03\x01\x02\x00\n",
	"lines without returns":         strings.ReplaceAll(sized("{}"), "\r", ""),
	"an empty line first":           "\r\n" + sized("{}"),
	"no host":                       text("{}", "Content-Length: 2"),
	"two hosts":                     sized("{}", "Host: other"),
	"an odd host":                   text("{}", "Host: a/b", "Content-Length: 2"),
	"no length":                     text("{}", "Host: a"),
	"two lengths":                   sized("{}", "Content-Length: 2"),
	"a signed length":               text("{}", "Host: a", "Content-Length: +2"),
	"a length in hexadecimal":       text("{}", "Host: a", "Content-Length: 0x2"),
	"lengths in a list":             text("{}", "Host: a", "Content-Length: 2, 2"),
	"chunks":                        text("2\r\n{}\r\n0\r\n\r\n", "Host: a", "Transfer-Encoding: chunked"),
	"chunks and a length":           sized("{}", "Transfer-Encoding: chunked"),
	"a chunked length, in disguise": sized("{}", "Transfer-Encoding : chunked"),
	"an underscore in a name":       sized("{}", "Content_Length: 3"),
	"a folded line":                 sized("{}", "X-A: b", " c"),
	"a line without a colon":        sized("{}", "nonsense"),
	"a line without a name":         sized("{}", ": nonsense"),
	"a return in a value":           sized("{}", "X-A: b\rc"),
	"a zero byte in a value":        sized("{}", "X-A: b\x00c"),
	"a tab in a value":              sized("{}", "X-A: b\tc"),
	"what is not ASCII":             sized("{}", "X-A: 京东"),
	"the wish to wait":              sized("{}", "Prefer: wait=5"),
	"the wish to be told":           sized("{}", "expect: 100-continue"),
	"the wish to end":               sized("{}", "Connection: close"),
	"the wish for another protocol": sized("{}", "Connection: Upgrade", "Upgrade: h2c"),
	"too many fields":               sized("{}", strings.Split(strings.Repeat("X-A: b\n", fieldsMax-1)+"X-A: b", "\n")...),
	"too long a body":               sized(strings.Repeat("x", callBytesMax)),
}

func TestUsualCallIsReadFromWhateverPiecesItComesIn(t *testing.T) {
	t.Parallel()
	for name, whole := range usualCalls {
		first := whole[:expectRead(t, name, whole)]
		for n := range len(first) {
			c := call{header: http.Header{}}
			if verdict := c.read([]byte(first[:n]), served); verdict != partial {
				t.Errorf("%s: %q is judged %d before it has come", name, first[:n], verdict)
			}
		}
	}
}

func TestUnusualCallIsNotRead(t *testing.T) {
	t.Parallel()
	for name, whole := range unusualCalls {
		c := call{header: http.Header{}}
		if verdict := c.read([]byte(whole), served); verdict != unusual {
			t.Errorf("%s: judged %d, want unusual: %q", name, verdict, whole)
		}
	}
}

// expectRead fails the test unless net/http reads the same call as usual calls are read. It returns how long the call is.
func expectRead(t *testing.T, name, whole string) int {
	t.Helper()
	c := call{header: http.Header{}}
	if verdict := c.read([]byte(whole), served); verdict != usual {
		t.Fatalf("%s: judged %d, want usual: %q", name, verdict, whole)
	}
	expectAsNetHTTP(t, &c, whole)
	return c.length
}

func expectAsNetHTTP(t *testing.T, c *call, whole string) {
	t.Helper()
	rest := strings.NewReader(whole)
	buffered := bufio.NewReader(rest)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", whole, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("net/http refuses the body of %q: %v", whole, err)
	}
	type read struct {
		Method, Path, RawPath, Query, Proto, Host string
		Header                                    http.Header
		Body                                      []byte
		Length, Left                              int
		Close                                     bool
		Encoding                                  []string
	}
	ours := read{Method: "POST", Path: c.path, Proto: "HTTP/1.1", Host: c.host, Header: c.header, Body: c.body, Length: len(c.body),
		Left: len(whole) - c.length}
	theirs := read{r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Proto, r.Host, r.Header, body, int(r.ContentLength),
		buffered.Buffered() + rest.Len(), r.Close, r.TransferEncoding}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("net/http reads %q otherwise (-net/http +express):\n%s", whole, diff)
	}
}

func FuzzWhatIsReadAsUsualIsReadAlikeByNetHTTP(f *testing.F) {
	for _, calls := range []map[string]string{usualCalls, unusualCalls} {
		for _, whole := range calls {
			f.Add([]byte(whole))
		}
	}
	f.Fuzz(func(t *testing.T, came []byte) {
		c := call{header: http.Header{}}
		if c.read(came, served) == usual {
			expectAsNetHTTP(t, &c, string(bytes.Clone(came)))
		}
	})
}
