package log

import (
	"path"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Exists says whether there is a log in a directory, whatever its state: not whether there is a directory. A nil file system is the one of the machine.
func Exists(files vfs.FS, dir string) bool {
	if files == nil {
		files = vfs.OS{}
	}
	_, err := files.Stat(path.Join(dir, manifestName))
	return err == nil
}
