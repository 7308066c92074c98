package clock_test

import (
	"fmt"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// A nightly job waits for midnight; the test moves the clock there instead of sleeping.
func ExampleManual() {
	m := clock.NewManual(time.Date(2025, 6, 18, 23, 0, 0, 0, clock.Shanghai))
	midnight := m.After(time.Hour)

	fmt.Println(clock.BusinessDate(m.Now()))
	m.Advance(time.Hour)
	fmt.Println(clock.BusinessDate(<-midnight))
	// Output:
	// 2025-06-18
	// 2025-06-19
}
