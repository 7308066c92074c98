package clock

import (
	"fmt"
	"time"
	_ "time/tzdata" // a small container image has no zone database
)

// Shanghai is the zone of business dates. China has one zone and, since 1991, no summer time.
var Shanghai = mustLoad("Asia/Shanghai")

// BusinessDate returns the Shanghai calendar date of t as "2006-01-02".
func BusinessDate(t time.Time) string {
	return t.In(Shanghai).Format(time.DateOnly)
}

// mustLoad panics when the zone is missing from the compiled-in database, which only a broken build can cause.
func mustLoad(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(fmt.Sprintf("load zone %s: %v", name, err))
	}
	return zone
}
