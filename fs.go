package rio

import (
	"io/fs"
	"os"
)

// FS is the file system below root, for reading: its files are *File. No name and no symbolic link leads out of it. It is
// an fs.StatFS, an fs.ReadDirFS and an fs.ReadLinkFS too; http.FileServerFS serves it. root stays the caller's, to close
// when the FS is not used any more.
func (r *Ring) FS(root *os.Root) fs.FS {
	if root == nil {
		return noFS{}
	}
	return ringFS{root.FS().(metadataFS), r}
}

// noFS is the FS of no root.
type noFS struct{}

func (noFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: invalid("FS", "nil Root")}
}

type ringFS struct {
	metadataFS
	r *Ring
}

// metadataFS is what package os does: there are no operations of a Ring for it.
type metadataFS interface {
	fs.StatFS
	fs.ReadDirFS
	fs.ReadLinkFS
}

// Open opens a file for reading.
func (s ringFS) Open(name string) (fs.File, error) {
	if err := s.r.usable("open"); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := s.metadataFS.Open(name)
	if err != nil {
		return nil, err
	}
	file, err := s.r.newFile(f.(*os.File))
	if err != nil {
		return nil, err // not a *File that is nil
	}
	return file, nil
}
