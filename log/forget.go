package log

import "os"

// After an fsync that failed, the system may keep in memory, as if it had been written, what the disk does not have: whoever opens the log anew would take it for durable,
// acknowledge it, and lose it with the power. So recovery looks at the disk itself for all that lies behind its point: here for ctl, in scan for the segments. What was written
// and waits for its turn stays; recovery syncs it.

// forgetCtl does so for ctl. That the file is not there is found by who reads it.
func (r *recovery) forgetCtl() {
	f, err := r.log.fs.OpenFile(r.log.ctl.path, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	durable := int64(0)
	if r.point != nil {
		durable = r.point.ctlBytes
	}
	f.Forget(durable)
}
