package devstack

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the operating system's user that servers run as. A nil *account is the user that we run as.
type account struct {
	name     string
	uid, gid int
}

// serverAccount returns nil when we are not root, and else the first of names that exists.
func serverAccount(names ...string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(entry.Uid)
		if err != nil {
			continue
		}
		gid, err := strconv.Atoi(entry.Gid)
		if err != nil || uid == 0 {
			continue
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, fmt.Errorf("run as root: servers are not run by root and none of the users %q exists; "+
		"run as another user", names)
}

// String returns a phrase for descriptions: empty, or ", run as NAME".
func (a *account) String() string {
	if a == nil {
		return ""
	}
	return ", run as " + a.name
}

// own makes path belong to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("give directory to user %s: %w", a.name, err)
	}
	return nil
}

// privateDir makes a directory that only the account can enter, below base (defaults to the system's directory for
// temporary files, or /tmp when the account may not pass through that one).
func (a *account) privateDir(base, pattern string) (string, error) {
	if base == "" {
		base = os.TempDir()
		if a != nil && !passable(base) {
			base = "/tmp"
		}
	}
	dir, err := os.MkdirTemp(base, pattern)
	if err != nil {
		return "", fmt.Errorf("make directory for server: %w", err)
	}
	if err := a.own(dir); err != nil {
		return "", fmt.Errorf("%w (removed: %v)", err, os.Remove(dir) == nil)
	}
	return dir, nil
}

// passable reports whether every user may pass through dir and all directories above it.
func passable(dir string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// detached returns attributes for a child in a process group of its own, so that Ctrl-C in a terminal reaches us
// alone and we decide the order in which things stop, run by the account.
func detached(as *account) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if as != nil {
		attributes.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return attributes
}
