package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// awaitDeleted waits until what the last run wrote and deleted has left the disk: its file system gives no room back any more. Else the next run would share the disk with the
// deleting, and several large ones in a row would fill it.
func awaitDeleted(ctx context.Context, dir string) error {
	const quiet, step, limit = 600 * time.Millisecond, 100 * time.Millisecond, 20 * time.Second
	const noise = 8 << 20 // bytes that others on the machine may free
	begun, still := time.Now(), time.Now()
	most, err := freeBytes(dir)
	if err != nil {
		return err
	}
	for time.Since(still) < quiet && time.Since(begun) < limit {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step):
		}
		free, err := freeBytes(dir)
		if err != nil {
			return err
		}
		if free > most+noise {
			most, still = free, time.Now()
		}
	}
	return nil
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask for room: %w", err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
