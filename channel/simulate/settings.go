package simulate

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteSettings writes what a merchant gets from the channel to dir, in the form that package roster reads: the settings as
// <channel>.json, and the keys in a folder <channel>. Again after keys were rotated, it brings the merchant the new ones: the settings
// come last and at once, so that a reader sees old or new ones.
func WriteSettings(dir string, dialect Dialect, baseURL string) error {
	name := string(dialect.Source())
	folder := filepath.Join(dir, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("write settings of %s: %w", name, err)
	}
	settings, err := dialect.MerchantSettings(folder, baseURL)
	if err != nil {
		return fmt.Errorf("write settings of %s: %w", name, err)
	}
	if err := WriteFile(filepath.Join(dir, name+".json"), settings); err != nil {
		return fmt.Errorf("write settings of %s: %w", name, err)
	}
	return nil
}

// WriteFile writes a file that its owner alone may read, or replaces it at once: who reads it meanwhile reads the old or the new content,
// never a part. The new content stands in a hidden file beside it until then, which a process that is killed leaves behind.
func WriteFile(path string, content []byte) error {
	written := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(written, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(written, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
