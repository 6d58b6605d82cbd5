// Command barnabas is the whole product in one binary: the server (`barnabas` or `barnabas server`) and the operator's tools.
//
// A folder is a noun and a file in it is a verb: topic/create.go is `barnabas topic create`. What verbs share is in package cli.
package main
