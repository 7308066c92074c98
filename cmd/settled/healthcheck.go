package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type healthcheckCommand struct {
	URL     string        `arg:"" help:"Such as http://127.0.0.1:9090/healthz."`
	Timeout time.Duration `default:"2s" help:"How long to wait (default ${default})."`
}

// Help is shown below the command's summary.
func (healthcheckCommand) Help() string {
	return `Exit code 0: the answer is 200. Exit code 1: it is another. Exit code 3: there was none in time. Example:

    healthcheck:
      test: [CMD, /usr/local/bin/settled, healthcheck, "http://127.0.0.1:9090/healthz"]`
}

// Run asks.
func (c *healthcheckCommand) Run(ctx context.Context, _ *Program) error {
	if asked, err := url.Parse(c.URL); err != nil || asked.Scheme != "http" && asked.Scheme != "https" {
		return &usageError{problem: "URL is " + quoted(c.URL) + "; allowed: http:// or https://"}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return &usageError{problem: err.Error()}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close() // the status is the answer
	if response.StatusCode != http.StatusOK {
		return &answerNoError{answer: fmt.Sprintf("%s answered %s", c.URL, response.Status)}
	}
	return nil
}
