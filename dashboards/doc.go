// Package dashboards holds what Prometheus and Grafana are configured with, and the tests that keep it true: every metric that a
// panel or an alert names is exported by the rooms' own registries, and an alert's with its labels before anything happens; every
// panel asks a question, every alert has an entry in the runbook, and the files agree with each other and with docker-compose.yml.
//
//	prometheus.yml          what is scraped
//	alerts/                 when a person must look
//	grafana/provisioning/   where Grafana finds Prometheus and the dashboards
//	grafana/dashboards/     the dashboards; change the file, not the browser
package dashboards
