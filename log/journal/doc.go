// Package journal makes small writes to many files of a directory durable together: one write and one fsync for all who wait, where each file would need its own.
//
// # What it promises
//
// Whoever has written some bytes to a file, and not synced it, gives the same bytes to Write. Once that says true they are on stable storage, in the journal. After a crash Open writes them
// to their files again, before anybody looks at these. It knows nothing of what the bytes mean.
//
// Write may also say false: the journal is not made yet, or full, or its disk fails. Then the caller syncs its own file. Nothing is ever refused or lost by that, it is only slower.
//
// # Two files
//
// There are two files, of which one is written. When it is full the other one's turn comes, if everything that it holds has been synced to where it belongs, which is done in the background
// (Target.Settle). Both keep their blocks: a write changes no metadata of the file system. They begin with 16 MiB and double while they fill within a second.
//
// # Forgetting
//
// What the journal holds is written again after a crash, over whatever is there by then. So whoever changes a file otherwise than by appending calls Forget before, and has synced it before that.
// See docs/format/journal.md for the bytes.
package journal
