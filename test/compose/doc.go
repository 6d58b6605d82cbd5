// Command compose keeps foreign producers writing to a cluster while a command of its caller takes a node away and brings it back. It prints the longest time in which
// nothing was acknowledged, then reads everything back: each record that was acknowledged must be there, once, in its partition's order. The script run beside it does
// that to the containers of deploy/compose.
package main
