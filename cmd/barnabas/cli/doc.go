// Package cli is what the verbs of the barnabas command have in common: the global flags, the connection to a cluster, tables and JSON on
// standard output, messages on standard error, positions in a topic as people write them, and exit codes.
//
// A verb gets an *App, asks it for a Session, prints through it and returns an error. Only Run turns an error into words and an exit code,
// so that every verb fails alike. Data goes to App.Out and nothing else does; everything meant for a human beside the data goes to App.Err.
package cli
