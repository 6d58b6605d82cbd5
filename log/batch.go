package log

// Header is a zero-copy view of the fixed 61 bytes in front of a Kafka v2 record batch.
type Header []byte

// HeaderSize is the length of a v2 batch header in bytes.
const HeaderSize = 61

func (h Header) BaseOffset() Offset     { panic("unwritten") }
func (h Header) Size() int              { panic("unwritten") } // whole batch, header included
func (h Header) LeaderEpoch() int32     { panic("unwritten") }
func (h Header) Magic() int8            { panic("unwritten") }
func (h Header) CRC() uint32            { panic("unwritten") }
func (h Header) Attributes() int16      { panic("unwritten") }
func (h Header) Codec() int             { panic("unwritten") } // 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
func (h Header) LogAppendTime() bool    { panic("unwritten") }
func (h Header) Transactional() bool    { panic("unwritten") }
func (h Header) Control() bool          { panic("unwritten") }
func (h Header) LastOffset() Offset     { panic("unwritten") }
func (h Header) LastOffsetDelta() int32 { panic("unwritten") }
func (h Header) BaseTimestamp() int64   { panic("unwritten") }
func (h Header) MaxTimestamp() int64    { panic("unwritten") }
func (h Header) ProducerID() int64      { panic("unwritten") }
func (h Header) ProducerEpoch() int16   { panic("unwritten") }
func (h Header) BaseSequence() int32    { panic("unwritten") }
func (h Header) Count() int32           { panic("unwritten") }

// CheckBatch says whether b is exactly one well-formed v2 batch with a right CRC; it does not look into the records.
func CheckBatch(b []byte) error { panic("unwritten") }

// SetMaxTimestamp rewrites the header for LogAppendTime and recomputes the CRC.
func SetLogAppendTime(b []byte, ms int64) { panic("unwritten") }

// Chunk is a range of one segment's file, pinned until Release.
type Chunk struct{}

// Size is the length in bytes.
func (c *Chunk) Size() int { panic("unwritten") }

// Bytes reads the range into memory (dst is appended to).
func (c *Chunk) Bytes(dst []byte) ([]byte, error) { panic("unwritten") }

// File gives the file descriptor and the position for sendfile; ok is false on a file system without descriptors.
func (c *Chunk) File() (fd uintptr, position int64, ok bool) { panic("unwritten") }

// NextOffset is the offset after the last record of the chunk.
func (c *Chunk) NextOffset() Offset { panic("unwritten") }

// Release unpins the segment. Call exactly once.
func (c *Chunk) Release() { panic("unwritten") }
