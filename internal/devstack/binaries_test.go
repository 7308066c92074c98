package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingServersSayWhatToInstallAndHow(t *testing.T) {
	t.Parallel()
	none := binaries{lookPath: nowhere, globs: []string{filepath.Join(t.TempDir(), "*")}}
	_, postgresErr := none.postgres(t.Context())
	_, redisErr := none.redis()
	for want, err := range map[string]error{
		"PostgreSQL 15 or newer": postgresErr, "set DATABASE_URL": postgresErr, "pg_config": postgresErr,
		"redis-server": redisErr, "set REDIS_URL": redisErr,
	} {
		missing := (*MissingError)(nil)
		if !errors.As(err, &missing) {
			t.Fatalf("error = %v, want *MissingError", err)
		}
		if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, `"make deps"`) {
			t.Errorf("%q does not say %q and how to install it", text, want)
		}
	}
}

func TestPostgresThatIsTooOldIsNamed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fakePostgres(t, filepath.Join(root, "13/bin"), "13.4")
	_, err := binaries{lookPath: nowhere, globs: []string{filepath.Join(root, "*/bin")}}.postgres(t.Context())
	if err == nil || !strings.Contains(err.Error(), "found 13.4 in") {
		t.Errorf("error = %v, want it to name the version that was found", err)
	}
}

func TestNewestPostgresIsTakenUnlessPathNamesOne(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, version := range []string{"9.6.1", "15.2", "17.1", "16.9"} {
		fakePostgres(t, filepath.Join(root, version, "bin"), version)
	}
	look := binaries{lookPath: nowhere, globs: []string{filepath.Join(root, "*/bin")}}
	found, err := look.postgres(t.Context())
	if err != nil || found.version != "17.1" {
		t.Errorf("found %q, %v; want 17.1", found.version, err)
	}
	link := filepath.Join(t.TempDir(), "postgres")
	if err := os.Symlink(filepath.Join(root, "16.9/bin/postgres"), link); err != nil {
		t.Fatal(err)
	}
	look.lookPath = only("postgres", link)
	if found, err := look.postgres(t.Context()); err != nil || found.version != "16.9" {
		t.Errorf("found %q, %v; want the 16.9 in PATH", found.version, err)
	}
	pgConfig := filepath.Join(t.TempDir(), "pg_config")
	writeScript(t, pgConfig, "echo "+filepath.Join(root, "15.2/bin"))
	look.lookPath = only("pg_config", pgConfig)
	if found, err := look.postgres(t.Context()); err != nil || found.version != "15.2" {
		t.Errorf("found %q, %v; want the 15.2 of pg_config", found.version, err)
	}
}

func TestVersionOfPostgresIsRead(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]struct {
		version string
		major   int
	}{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {"15.18", 15},
		"postgres (PostgreSQL) 17.2\n":                           {"17.2", 17},
		"postgres (PostgreSQL) 18beta1\n":                        {"18beta1", 18},
		"something else 15.1":                                    {"", 0},
		"":                                                       {"", 0},
	} {
		version, major, err := parsePostgresVersion(output)
		if version != want.version || major != want.major || (err != nil) != (want.major == 0) {
			t.Errorf("parsePostgresVersion(%q) = %q, %d, %v; want %q, %d", output, version, major, err, want.version, want.major)
		}
	}
}

func nowhere(file string) (string, error) { return "", errors.New(file + " is nowhere") }

func only(name, path string) func(string) (string, error) {
	return func(file string) (string, error) {
		if file == name {
			return path, nil
		}
		return nowhere(file)
	}
}

// fakePostgres makes a directory of binaries of which postgres only tells its version.
func fakePostgres(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeScript(t, filepath.Join(dir, "postgres"), "echo 'postgres (PostgreSQL) "+version+"'")
	writeScript(t, filepath.Join(dir, "initdb"), "exit 1")
}

func writeScript(t *testing.T, path, line string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
