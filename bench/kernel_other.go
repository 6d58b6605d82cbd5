//go:build !linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
)

func discard(c *net.TCPConn, n int) error {
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}

func datasync(f *os.File) error { return f.Sync() }

func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }
