package tidy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// unwelcome are texts that no file of the repository may contain. The patterns
// are written so that they do not match themselves.
var unwelcome = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{
		regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`),
		"unfinished work belongs in an issue, where somebody will see it",
	},
	{
		regexp.MustCompile(`/(work|farm|root|home/[\w.-]+|Users/[\w.-]+)/`),
		"a path of somebody's machine; other machines do not have it",
	},
	{
		regexp.MustCompile(`\b(proxy|sum)[.]golang[.]|\bgoproxy[.](cn|io)\b|\bregistry[.]npmjs[.]|` +
			`\b(deb|security|ftp)[.]debian[.]|\barchive[.]ubuntu[.]|\bpypi[.]org\b|\bpythonhosted[.]org\b|` +
			`\bapt[.]postgresql[.]org\b|\bmirrors?[.][a-z]+[.]`),
		"a package registry's host; which one to use is the machine's own setting",
	},
}

// welcome are texts that an unwelcome pattern would find, and that every machine
// of their kind has.
var welcome = strings.NewReplacer(
	"/home/"+"linuxbrew/", "", // Homebrew's fixed prefix on Linux
	"/home/"+"nonroot/", "", // the user of distroless images
	"context.TO"+"DO", "", // a name of the standard library; calling it is a matter of calls_test.go
)

func TestTextsNameNoMachineAndNoUnfinishedWork(t *testing.T) {
	t.Parallel()
	report(t, checkTexts(mustRepository(t).texts))
}

func checkTexts(texts []textFile) []string {
	var findings []string
	for _, file := range texts {
		number := 0
		for line := range strings.Lines(file.text) {
			number++
			for _, text := range unwelcome {
				if found := text.pattern.FindString(welcome.Replace(line)); found != "" {
					findings = append(findings, fmt.Sprintf("%s:%d: %q: %s", file.path, number, found, text.reason))
				}
			}
		}
	}
	return findings
}

func TestPlantedTextsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"// TO" + "DO: lock", "unfinished work"},
		{"fix it later (FIX" + "ME)", "unfinished work"},
		{"TO" + "DOS are fine, and so is to" + "do", ""},
		{"ctx := context.TO" + "DO()", ""},
		{"cd /work" + "/main", "somebody's machine"},
		{"see /home/" + "ada/settled", "somebody's machine"},
		{"see /Users/" + "ada/settled", "somebody's machine"},
		{"/root" + "/go/pkg", "somebody's machine"},
		{"/home/" + "linuxbrew/.linuxbrew/bin, /usr/lib/postgresql/16/bin, /tmp/x, a/worker/b", ""},
		{"GOPROXY=https://proxy." + "golang.org", "registry's host"},
		{"https://registry." + "npmjs.org/x", "registry's host"},
		{"http://deb." + "debian.org/debian", "registry's host"},
		{"https://mirrors." + "example.com/go", "registry's host"},
		{"https://pkg.go.dev/golang.org/x/sync, golang.org/x/sync", ""},
	} {
		findings := checkTexts([]textFile{{"README.md", "one\n" + c.text + "\n"}})
		switch {
		case c.want == "" && len(findings) > 0:
			t.Errorf("%q: found %q", c.text, findings)
		case c.want != "" && (len(findings) != 1 || !strings.Contains(findings[0], c.want) ||
			!strings.HasPrefix(findings[0], "README.md:2: ")):
			t.Errorf("%q: found %q, want one finding with %q in line 2", c.text, findings, c.want)
		}
	}
}

func TestTreeLeavesOutWhatIsNotTheProject(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	repo, err := readTree(fstest.MapFS{
		".gitignore":                file("# built\n/bin/\n*.out\n"),
		".git/config":               file("x"),
		"bin/left.go":               file("package left\n"),
		"cmd/bin/kept.go":           file("package kept\n"),
		"cmd/logo.png":              file("\x89PNG\x00"),
		"dashboards/check/go.mod":   file("module other\n"),
		"dashboards/check/check.go": file("package main\n"),
		"ledger/testdata/bad.go":    file("not Go at all\n"),
		"README.md":                 file("# x\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var sources, texts []string
	for _, s := range repo.sources {
		sources = append(sources, s.path)
	}
	for _, text := range repo.texts {
		texts = append(texts, text.path)
	}
	if got, want := strings.Join(sources, " "), "cmd/bin/kept.go"; got != want {
		t.Errorf("Go files: %s, want %s", got, want)
	}
	want := ".gitignore README.md cmd/bin/kept.go dashboards/check/check.go dashboards/check/go.mod ledger/testdata/bad.go"
	if got := strings.Join(texts, " "); got != want {
		t.Errorf("text files: %s, want %s", got, want)
	}
}

func TestTreeLeavesOutTheFileThatLeadsAWorktreeToItsRepository(t *testing.T) {
	t.Parallel()
	repo, err := readTree(fstest.MapFS{".gitignore": &fstest.MapFile{}, ".git": &fstest.MapFile{Data: []byte("gitdir: x\n")}})
	if err != nil || len(repo.texts) != 1 || repo.texts[0].path != ".gitignore" {
		t.Errorf("text files: %v, %v, want .gitignore alone", repo.texts, err)
	}
}
