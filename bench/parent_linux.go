package main

import "syscall"

// endWithParent makes sure that no broker survives the bench that started it.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
