package broker

import "golang.org/x/sys/unix"

func readOnly(s *unix.Statfs_t) bool { return s.Flags&unix.ST_RDONLY != 0 }
