// Package telemetry is how a process is looked at from outside: metrics, health, profiles and logs. It knows no room; the
// rooms hand in their collectors and their checks.
//
// # Pages
//
//	/metrics       everything in the registry, in Prometheus's text format or OpenMetrics
//	/healthz       200 while the process can answer at all; it looks at nothing else, so that an outage of PostgreSQL does
//	               not restart every process that waits for it
//	/readyz        200 when every check passes, else 503; one line per check
//	/debug/pprof/  profiles, only when asked for: they slow the process and show what is in its memory
//
// The pages have no password. They are served on an address of their own, by default on the loopback interface.
//
// # Logs
//
// A constant message, facts as snake_case attributes, one line of text or JSON each. Info: money moved or a process changed
// its state. Warn: we will try again. Error: a person must look. Never a password, a signature or a request's body.
package telemetry
