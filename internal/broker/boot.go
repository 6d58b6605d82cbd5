package broker

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// bootFile holds the id of the machine's run in which this node last had all its logs open, and none of them has failed since. As long as the machine goes on, what was written to them
// is there, whatever becomes of the process: then damage is damage, and not what a power cut has left.
const bootFile = "boot-id"

// bootID is the id of the machine's run; nil where the system does not tell.
func bootID() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	return id
}

// sameBoot says whether the machine has not stopped since noteBoot.
func sameBoot(dir string) bool {
	id := bootID()
	last, err := os.ReadFile(filepath.Join(dir, bootFile))
	return err == nil && id != nil && bytes.Equal(last, id)
}

// noteBoot is called when the logs have been opened: all of them, or it is forgotten what was noted before.
func noteBoot(dir string, all bool) error {
	id := bootID()
	if !all || id == nil {
		forgetBoot(dir)
		return nil
	}
	if sameBoot(dir) {
		return nil
	}
	return vfs.ReplaceFile(vfs.OS{}, filepath.Join(dir, bootFile), id)
}

// forgetBoot is called when a write has failed: what is on the disk is not what was written.
func forgetBoot(dir string) { _ = os.Remove(filepath.Join(dir, bootFile)) }
