package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PostgresVersionMin is the oldest major version of PostgreSQL that settled runs on: CREATE DATABASE ... STRATEGY,
// which test databases use, came with it.
const PostgresVersionMin = 15

// MissingError says that a server's binaries were not found, or only ones that are too old.
type MissingError struct {
	Server  string   // what is missing, such as "PostgreSQL 15 or newer"
	Looked  []string // where it was looked for
	Found   []string // what was found but is too old
	Setting string   // the environment variable that names a running server instead
}

func (e *MissingError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s is not installed (looked in %s", e.Server, strings.Join(e.Looked, ", "))
	if len(e.Found) > 0 {
		fmt.Fprintf(&text, "; found %s", strings.Join(e.Found, ", "))
	}
	fmt.Fprintf(&text, "): install it with \"make deps\", or set %s to a running server", e.Setting)
	return text.String()
}

// binaries says where to look for servers. Tests look elsewhere.
type binaries struct {
	lookPath func(file string) (string, error)
	globs    []string
}

// installed looks where packages put servers on Debian, Red Hat, Homebrew (both processors and Linux), Postgres.app
// and PostgreSQL's own build.
var installed = binaries{
	lookPath: exec.LookPath,
	globs: []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin",
	},
}

// postgresBinaries is a directory that holds initdb and postgres of one version.
type postgresBinaries struct {
	dir     string
	major   int
	version string // as the server prints it, such as "15.18"
}

// postgres returns the binaries in PATH, else those that pg_config names, else the newest of the usual places.
// It fails with *MissingError.
func (b binaries) postgres(ctx context.Context) (postgresBinaries, error) {
	missing := &MissingError{
		Server:  fmt.Sprintf("PostgreSQL %d or newer (initdb and postgres)", PostgresVersionMin),
		Looked:  append([]string{"PATH", "pg_config --bindir"}, b.globs...),
		Setting: "DATABASE_URL",
	}
	for _, group := range [][]string{b.pathDirs(), b.pgConfigDirs(ctx), b.globDirs()} {
		found := postgresIn(ctx, group)
		if len(found) == 0 {
			continue
		}
		if found[0].major >= PostgresVersionMin {
			return found[0], nil
		}
		for _, old := range found {
			missing.Found = append(missing.Found, fmt.Sprintf("%s in %s", old.version, old.dir))
		}
	}
	return postgresBinaries{}, missing
}

// redis returns the path of redis-server. It fails with *MissingError.
func (b binaries) redis() (string, error) {
	path, err := b.lookPath("redis-server")
	if err != nil {
		return "", &MissingError{Server: "redis-server", Looked: []string{"PATH"}, Setting: "REDIS_URL"}
	}
	return path, nil
}

func (b binaries) pathDirs() []string {
	path, err := b.lookPath("postgres")
	if err != nil {
		return nil
	}
	// Packages put links into PATH, and not for every program.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return []string{filepath.Dir(path)}
}

func (b binaries) pgConfigDirs(ctx context.Context) []string {
	path, err := b.lookPath("pg_config")
	if err != nil {
		return nil
	}
	output, err := exec.CommandContext(ctx, path, "--bindir").Output()
	if err != nil {
		return nil
	}
	return []string{strings.TrimSpace(string(output))}
}

func (b binaries) globDirs() []string {
	var dirs []string
	for _, glob := range b.globs {
		matches, err := filepath.Glob(glob)
		if err == nil {
			dirs = append(dirs, matches...)
		}
	}
	return dirs
}

// postgresIn returns the usable binaries in dirs, the newest first.
func postgresIn(ctx context.Context, dirs []string) []postgresBinaries {
	var found []postgresBinaries
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		output, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		version, major, err := parsePostgresVersion(string(output))
		if err != nil {
			continue
		}
		found = append(found, postgresBinaries{dir: dir, major: major, version: version})
	}
	slices.SortStableFunc(found, func(a, b postgresBinaries) int { return cmp.Compare(b.major, a.major) })
	return found
}

var postgresVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// parsePostgresVersion reads the output of postgres --version, such as "postgres (PostgreSQL) 15.18 (Debian ...)".
func parsePostgresVersion(output string) (version string, major int, err error) {
	match := postgresVersion.FindStringSubmatch(output)
	if match == nil {
		return "", 0, errors.New("not the version of a PostgreSQL server")
	}
	major, err = strconv.Atoi(match[2])
	if err != nil {
		return "", 0, fmt.Errorf("read major version: %w", err)
	}
	return match[1], major, nil
}
