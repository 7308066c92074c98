package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/settled-dev/settled/internal/telemetry"
)

func ExampleNewHandler() {
	handler := telemetry.NewHandler(telemetry.HandlerConfig{
		Gatherer: telemetry.NewRegistry(),
		Checks: []telemetry.Check{
			{Name: "postgres", Ready: func(context.Context) error { return nil }},
			{Name: "redis", Ready: func(context.Context) error { return errors.New("connection refused") }},
		},
	})
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Println(answer.Code)
	fmt.Print(answer.Body)
	// Output:
	// 503
	// postgres: ok
	// redis: connection refused
}
