package intake

import (
	"io"
	"strings"
	"testing"
)

func TestLineReaderKeepsOnlyWhatItMayReturn(t *testing.T) {
	t.Parallel()
	lines := newLines(io.MultiReader(strings.NewReader("ab\r\n\n"), strings.NewReader(strings.Repeat("x", 3*readAhead)+"\n"),
		strings.NewReader("         \ncd")), 4)
	for _, want := range []jsonLine{
		{1, []byte("ab"), 3, false},
		{3, []byte("xxxxx"), 3 * readAhead, true},
		{4, nil, 9, true},
		{5, []byte("cd"), 2, false},
	} {
		got, err := lines.next()
		if err != nil || got.number != want.number || string(got.text) != string(want.text) || got.bytes != want.bytes ||
			got.tooLong != want.tooLong {
			t.Errorf("got %+v %v, want %+v", got, err, want)
		}
	}
	if _, err := lines.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
