//go:build unsafeack

package partition

// answerWhenStored answers acks=all as soon as the leader has stored the records, before a majority has: what this broker promises never to do. The build exists to show
// that `bench chaos` catches it.
const answerWhenStored = true
