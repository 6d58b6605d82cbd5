package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// sendfilePiece is how much is sent at a time, as a broker does.
const sendfilePiece = 1_000_000

// newSend is the process that sends when `sendfile` is measured: a broker and its client are two as well (docs/decisions/0027).
func newSend() *cobra.Command {
	return &cobra.Command{
		Use:    "send ADDRESS FILE SIZE",
		Short:  "Send the first SIZE bytes of a file, again and again, for two seconds (started by run)",
		Hidden: true,
		Args:   cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error {
			size, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil {
				return err
			}
			return send(args[0], args[1], size)
		},
	}
}

func send(address, file string, size int64) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for limit := time.Now().Add(2 * time.Second); ; {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for sent := int64(0); sent < size; sent += sendfilePiece {
			if time.Now().After(limit) {
				return nil
			}
			if _, err := c.(*net.TCPConn).ReadFrom(io.LimitReader(f, sendfilePiece)); err != nil {
				return err
			}
		}
	}
}

// sendfileRate is how fast a process of its own sends the first size bytes of a file, in MB/s.
func sendfileRate(file string, size int64) (rate float64, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	sender := exec.Command(self, "send", l.Addr().String(), file, strconv.FormatInt(size, 10))
	sender.Stderr = os.Stderr
	if err := sender.Start(); err != nil {
		return 0, err
	}
	defer func() {
		if ended := sender.Wait(); err == nil && ended != nil {
			err = fmt.Errorf("the sender: %w", ended)
		}
	}()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	c, err := l.Accept()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return receive(c.(*net.TCPConn))
}

// receive lets the kernel drop what comes, as the client of prepared fetches does, and says how fast that was.
func receive(c *net.TCPConn) (float64, error) {
	const head = 16
	begun, total := time.Now(), 0
	one := bufio.NewReaderSize(c, head)
	for {
		if _, err := one.Peek(1); err == io.EOF {
			break
		} else if err != nil {
			return 0, err
		}
		total += one.Buffered()
		_, _ = one.Discard(one.Buffered())
		if err := discard(c, sendfilePiece-head); err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return 0, err
		}
		total += sendfilePiece - head
	}
	return float64(total) / 1e6 / time.Since(begun).Seconds(), nil
}
