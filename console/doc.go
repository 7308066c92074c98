// Package console will hold the operators' web pages: what waits for a person, why a request is stuck, and what the audit found.
// There are none yet. Until they come, the command line answers the same questions (settled show, dead, audit, statement), and
// Grafana shows the rest.
package console
