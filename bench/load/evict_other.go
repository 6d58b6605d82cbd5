//go:build !linux

package load

func evict([]string) error { return ErrUnsupported }
