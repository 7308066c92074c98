package simulate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/settled-dev/settled/tasks"
)

// openDialects restores each channel's keys, or makes new ones, and writes merchants' settings. Keys are slow to make, so the channels
// make them at the same time.
func (s *Simulator) openDialects() error {
	problems := make([]error, len(s.config.Kinds))
	var making sync.WaitGroup
	for i, kind := range s.config.Kinds {
		making.Go(func() { problems[i] = s.openDialect(kind) })
	}
	making.Wait()
	return errors.Join(problems...)
}

func (s *Simulator) openDialect(kind Kind) error {
	kept, err := os.ReadFile(s.keysFile(kind.Source))
	var dialect KeyedDialect
	switch {
	case errors.Is(err, os.ErrNotExist):
		dialect, err = kind.New(s.config.Clock)
	case err == nil:
		dialect, err = kind.Restore(s.config.Clock, kept)
	}
	if err != nil {
		return fmt.Errorf("keys of %s: %w", kind.Source, err)
	}
	s.desks[kind.Source].dialect = dialect
	return s.handOver(dialect)
}

// Rotate makes new keys for a channel, and writes them to the merchant's settings. Messages are signed with them at once, as a channel
// does that could not announce it. It returns a *tasks.FieldError for a channel that is not simulated here.
func (s *Simulator) Rotate(source tasks.Source) error {
	d, err := s.deskOf(source)
	if err != nil {
		return err
	}
	s.turning.Lock()
	defer s.turning.Unlock()
	if err := d.dialect.Rotate(); err != nil {
		return fmt.Errorf("rotate keys of %s: %w", source, err)
	}
	return s.handOver(d.dialect)
}

// handOver keeps the channel's keys, and then gives the merchant its own (S5).
func (s *Simulator) handOver(dialect KeyedDialect) error {
	source := dialect.Source()
	keys, err := dialect.Keys()
	if err != nil {
		return fmt.Errorf("keys of %s: %w", source, err)
	}
	if err := WriteFile(s.keysFile(source), keys); err != nil {
		return fmt.Errorf("keep keys of %s: %w", source, err)
	}
	return WriteSettings(s.config.Dir, dialect, s.config.BaseURL+"/"+string(source))
}

func (s *Simulator) keysFile(source tasks.Source) string {
	return filepath.Join(s.own(), string(source)+".keys")
}
