// Package hugepage is about memory in large pages: the processor looks up fewer addresses in it, and to the disk it is one piece where small pages are hundreds.
package hugepage
