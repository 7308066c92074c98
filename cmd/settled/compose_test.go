package main

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// What docker-compose.yml starts settled with is a command of this version, with flags and variables that it has.
func TestComposeFileStartsCommandsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for name, service := range compose.Services {
		if service.Image != "settled" {
			continue
		}
		checked++
		p := call{env: service.Environment}.program(&strings.Builder{}, &strings.Builder{})
		if err := p.ParseArgs(service.Command); err != nil || p.parsed == nil {
			t.Errorf("%s: %q: %v", name, service.Command, err)
			continue
		}
		command := strings.Fields(p.parsed.Command())
		help := call{}.run(t, append(command, "--help")...)
		for variable := range service.Environment {
			if name != "migrate" || variable == "DATABASE_URL" { // migrate is given what all are
				help.expect(t, exitOK, "$"+variable)
			}
		}
	}
	if checked < 5 {
		t.Errorf("%d services of settled, want api, worker, scheduler, migrate and the simulator", checked)
	}
}
