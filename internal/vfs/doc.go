// Package vfs is the file system as the log sees it: few operations, each with a stated durability.
//
// There are three implementations. OS is the real one. Memory keeps everything in memory, remembers what was synced and what was not,
// and CrashClone gives the file system as it may look after the power was cut. Failing wraps another one and fails chosen calls.
//
// # What is believed about a disk
//
// File.Sync makes the content and the length of that file durable. FS.SyncDir makes the names in that directory durable: creations, renames and
// removals. Nothing else is durable, in any order: of what was written since the last Sync, any part may survive, and so for names.
// A Rename is atomic: after a crash the name has the old file or the new one. A Sync that failed says nothing about what was written.
//
// Imports no other package of this module.
package vfs
