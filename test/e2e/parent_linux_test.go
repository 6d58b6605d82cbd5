package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the process when the test binary dies, so that an aborted run leaves no broker behind.
func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
