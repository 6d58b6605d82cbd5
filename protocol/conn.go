package protocol

// conn is one client's connection.
type conn struct{}

// frame is one request's bytes.
type frame struct{}

// reply is an answer that is on its way to the client.
type reply interface{}
