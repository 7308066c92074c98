package main

import (
	"fmt"
	"io"
	"sync"
)

// answerWriter is the standard output. It remembers its first failure: an answer that could not be written was not given, whatever the
// command that wrote it says. It may be used by many goroutines at once.
type answerWriter struct {
	io.Writer

	mu     sync.Mutex
	failed error
}

// Write implements io.Writer.
func (w *answerWriter) Write(text []byte) (int, error) {
	n, err := w.Writer.Write(text)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.failed == nil {
			w.failed = fmt.Errorf("write the answer: %w", err)
		}
	}
	return n, err
}

// err is the first failure.
func (w *answerWriter) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// underlying is the file that a writer of this program writes to.
func underlying(w io.Writer) io.Writer {
	if answer, ok := w.(*answerWriter); ok {
		return answer.Writer
	}
	return w
}
