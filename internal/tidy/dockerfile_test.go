package tidy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// stage is one FROM of a Dockerfile and the instructions after it.
type stage struct {
	image        string
	instructions []string
}

// stages reads a Dockerfile of plain one-line instructions.
func stages(dockerfile string) []stage {
	var list []stage
	for line := range strings.Lines(dockerfile) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case name == "FROM":
			image, _, _ := strings.Cut(rest, " ")
			list = append(list, stage{image: image})
		case len(list) > 0:
			last := &list[len(list)-1]
			last.instructions = append(last.instructions, line)
		}
	}
	return list
}

// argument returns the last instruction of that name, without the name.
func (s stage) argument(name string) string {
	for _, instruction := range slices.Backward(s.instructions) {
		if argument, found := strings.CutPrefix(instruction, name+" "); found {
			return argument
		}
	}
	return ""
}

func TestImageIsSmallAndRunsAsNobody(t *testing.T) {
	t.Parallel()
	report(t, checkDockerfile(readTop(t, "Dockerfile"), readTop(t, "go.mod")))
}

func checkDockerfile(dockerfile, goMod string) []string {
	list := stages(dockerfile)
	if len(list) < 2 {
		return []string{fmt.Sprintf("Dockerfile: %d stages: the compiler and the source would be shipped", len(list))}
	}
	var findings []string
	build, final := list[0], list[len(list)-1]
	if want := "golang:" + goVersion(goMod); build.image != want && !strings.HasPrefix(build.image, want+"-") {
		findings = append(findings, fmt.Sprintf("Dockerfile: builds with %s, while go.mod wants %s", build.image, want))
	}
	if strings.HasPrefix(final.image, "golang:") {
		findings = append(findings, "Dockerfile: ships the compiler")
	}
	user, _, _ := strings.Cut(final.argument("USER"), ":")
	if user == "" || user == "root" || user == "0" {
		findings = append(findings, fmt.Sprintf("Dockerfile: runs as %q, want a user without rights", user))
	}
	if !strings.HasPrefix(final.argument("ENTRYPOINT"), "[") {
		findings = append(findings, "Dockerfile: a shell before the binary would not pass SIGTERM on")
	}
	return findings
}

// goVersion returns the language version of go.mod without the patch release: "1.26".
func goVersion(goMod string) string {
	for line := range strings.Lines(goMod) {
		if version, found := strings.CutPrefix(strings.TrimSpace(line), "go "); found {
			parts := strings.SplitN(version, ".", 3)
			return strings.Join(parts[:min(len(parts), 2)], ".")
		}
	}
	return ""
}

func TestPlantedDockerfileMistakesAreFound(t *testing.T) {
	t.Parallel()
	const (
		build = "FROM golang:1.26-bookworm AS build\nRUN go build\n"
		final = "FROM scratch\nCOPY --from=build /settled /settled\nUSER nonroot:nonroot\nENTRYPOINT [\"/settled\"]\n"
	)
	for _, c := range []struct{ dockerfile, want string }{
		{build + final, ""},
		{build + "USER nonroot\nENTRYPOINT [\"/settled\"]\n", "1 stages"},
		{strings.Replace(build, "1.26", "1.25", 1) + final, "while go.mod wants golang:1.26"},
		{strings.Replace(build, "1.26", "1.260", 1) + final, "while go.mod wants golang:1.26"},
		{build + strings.Replace(final, "scratch", "golang:1.26", 1), "ships the compiler"},
		{build + strings.Replace(final, "USER nonroot:nonroot\n", "", 1), `runs as ""`},
		{build + strings.Replace(final, "nonroot:nonroot", "root", 1), `runs as "root"`},
		{build + strings.Replace(final, "nonroot:nonroot", "0:65532", 1), `runs as "0"`},
		{build + strings.Replace(final, `["/settled"]`, "/settled", 1), "would not pass SIGTERM on"},
	} {
		findings := checkDockerfile(c.dockerfile, "module m\n\ngo 1.26.0\n")
		switch {
		case c.want == "" && len(findings) > 0:
			t.Errorf("found %q in what is allowed", findings)
		case c.want != "" && (len(findings) != 1 || !strings.Contains(findings[0], c.want)):
			t.Errorf("%q: found %q, want one finding with %q", c.dockerfile, findings, c.want)
		}
	}
}
