package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/settled-dev/settled/tasks"
)

// readAhead is how much is read from a stream at once: some hundred requests.
const readAhead = 256 << 10

// Lines reads requests from a stream of JSON lines. A line of any length takes no more memory than the largest request.
type Lines struct {
	reader       *bufio.Reader
	lineBytesMax int
	number       int   // of the last line, from 1
	read         int64 // bytes, line ends included
}

// jsonLine is one line, without its end and the spaces around it. The text of a line that is too long is cut off.
type jsonLine struct {
	number  int
	text    []byte
	bytes   int64 // of the whole line
	tooLong bool
}

// NewLines reads from a stream that the caller closes.
func NewLines(stream io.Reader) *Lines { return newLines(stream, tasks.PayloadBytesMax) }

func newLines(stream io.Reader, lineBytesMax int) *Lines {
	return &Lines{reader: bufio.NewReaderSize(stream, readAhead), lineBytesMax: lineBytesMax}
}

// ReadChunk reads requests of a kind until the chunk is full, or the next line may have to be waited for. Lines of spaces alone are
// counted, and are no requests.
func (l *Lines) ReadChunk(kind tasks.Kind) (chunk Chunk) {
	for size := int64(0); len(chunk.Answers) < ChunkMax && size < chunkBytesMax; {
		line, err := l.next()
		if err == nil {
			size += int64(len(line.text))
			err = chunk.takeLine(kind, line)
		}
		chunk.Read, chunk.Err = l.read, err
		if err != nil || l.waiting() {
			return chunk
		}
	}
	return chunk
}

// next returns the next line that is not blank, or io.EOF.
func (l *Lines) next() (jsonLine, error) {
	for {
		line, err := l.line()
		if err != nil || len(line.text) > 0 || line.tooLong {
			return line, err
		}
	}
}

func (l *Lines) line() (jsonLine, error) {
	line := jsonLine{number: l.number + 1}
	for {
		part, err := l.reader.ReadSlice('\n')
		line.bytes += int64(len(part))
		l.read += int64(len(part))
		if room := l.lineBytesMax + 1 - len(line.text); room > 0 {
			line.text = append(line.text, part[:min(len(part), room)]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && line.bytes == 0:
			return jsonLine{}, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return jsonLine{}, fmt.Errorf("read line %d: %w", line.number, err)
		}
		l.number++
		if err == nil {
			line.bytes-- // the line's end
		}
		line.tooLong = line.bytes > int64(l.lineBytesMax)
		line.text = bytes.TrimSpace(line.text)
		return line, nil
	}
}

// waiting says whether the next line may have to be waited for, because nothing more was read yet.
func (l *Lines) waiting() bool { return l.reader.Buffered() == 0 }
