package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// door asks over HTTP as a program outside would: again until it is answered, because servers may be away at any moment.
type door struct {
	base   string
	key    string // of the API; empty for others
	client *http.Client
	clock  clock.Timer
}

// refusedError is an answer of 400 to 499: asking again would not change it.
type refusedError struct {
	status int
	body   string
}

// Error implements error.
func (e *refusedError) Error() string { return fmt.Sprintf("answered %d: %s", e.status, e.body) }

const (
	callTimeout    = 15 * time.Second
	callAgainAfter = 150 * time.Millisecond
	answerBytesMax = 1 << 20
)

// until asks until there is an answer or ctx ends, and decodes the answer. It returns a *refusedError, or the context's error with the
// last problem.
func (d *door) until(ctx context.Context, method, path string, asked, answer any) error {
	for {
		err := d.ask(ctx, method, path, asked, answer)
		var refused *refusedError
		if err == nil || errors.As(err, &refused) {
			return err
		}
		select {
		case <-d.clock.After(callAgainAfter):
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w: %w", method, path, context.Cause(ctx), err)
		}
	}
}

func (d *door) ask(ctx context.Context, method, path string, asked, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := d.do(ctx, method, path, asked)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("answered %s", response.Status)
	case response.StatusCode >= 400:
		return &refusedError{response.StatusCode, strings.TrimSpace(string(body))}
	case answer == nil:
		return nil
	}
	return json.Unmarshal(body, answer)
}

func (d *door) do(ctx context.Context, method, path string, asked any) (*http.Response, error) {
	var body io.Reader
	if asked != nil {
		text, err := json.Marshal(asked)
		if err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if d.key != "" {
		request.Header.Set("Authorization", "Bearer "+d.key)
	}
	return d.client.Do(request)
}

// lines reads an answer of JSON lines, each into what next gives.
func lines[T any](ctx context.Context, d *door, path string) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := d.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	var all []T
	for decoder := json.NewDecoder(response.Body); ; {
		var one T
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		all = append(all, one)
	}
}
