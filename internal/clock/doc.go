// Package clock is the only place that reads the time. Everything else is handed a Clock, so that a test can hold an
// instant still, move it over midnight, or give two workers clocks that disagree.
//
// Three clocks: System is the machine's; Fixed never moves; Manual moves only when a test says so and fires the timers
// that the move passed, so that no test sleeps.
//
// Business dates are Shanghai calendar dates whatever the machine's zone is. The zone database is compiled in, because
// a small container image has none.
package clock
