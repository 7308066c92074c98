package roster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/settled-dev/settled/tasks"
)

// files are what the directory has of one channel.
type files struct {
	settings []byte
	folder   string
	hash     [32]byte // of every name and content, or of the error
	err      error    // os.ErrNotExist when there are no settings
}

func settingsName(source tasks.Source) string { return string(source) + ".json" }

// look reads a channel's settings and hashes them with all files of its folder.
func look(dir string, source tasks.Source) files {
	found := files{folder: filepath.Join(dir, string(source))}
	sum := sha256.New()
	if found.settings, found.err = os.ReadFile(filepath.Join(dir, settingsName(source))); found.err == nil {
		fmt.Fprintf(sum, "%d ", len(found.settings))
		sum.Write(found.settings)
		// Mounted secrets are links, to files and to folders.
		if found.err = hashFolder(sum, found.folder); errors.Is(found.err, fs.ErrNotExist) {
			found.err = nil // no folder, or a file that went while it was looked for: Load names what it misses
		}
	}
	if found.err != nil {
		fmt.Fprint(sum, found.err)
	}
	sum.Sum(found.hash[:0])
	return found
}

// hashFolder hashes all files below a folder, links followed but those to folders further down.
func hashFolder(into hash.Hash, folder string) error {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return err
	}
	return filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		fmt.Fprintf(into, "%q %d ", name, len(content))
		into.Write(content)
		return err
	})
}
