package devstack

// Directory is a temporary directory that goes with this process, however that ends, as servers do.
type Directory struct {
	Path string
	home *home
}

// NewDirectory makes an empty directory, settled-NAME-… among the system's temporary files, that this process alone can enter.
func NewDirectory(name string) (*Directory, error) {
	home, err := newHome(name, "", "KILL", nil)
	if err != nil {
		return nil, err
	}
	return &Directory{Path: home.dir, home: home}, nil
}

// Remove deletes the directory with all that is in it. It is called once.
func (d *Directory) Remove() error { return d.home.remove() }
