// Package admin is a node's HTTP listener for operators and their machines: is it alive, is it ready, its figures, its profiles, its log level. It reads a small Status, which
// internal/broker implements, and changes nothing but the log level.
//
//	GET /healthz        200 while the node is alive and its data directory can be written, else 503
//	GET /readyz         200 while the node serves what it should, else 503
//	GET /partitions     the node's replicas: their files, compaction, scrub, and what is wrong; ?topic=NAME for those of one topic
//	GET /metrics        figures, for Prometheus
//	GET /log/level      {"level":"info"}
//	PUT /log/level      {"level":"debug"}, or level=debug as a form
//	GET /debug/pprof/   profiles, as net/http/pprof names them
//
// The answers of healthz and readyz are JSON: {"status":"ok"}, or {"status":"failed","reasons":["..."]}.
//
// Nobody is asked who they are. What could hurt, that is the log level and the profiles, is answered on the loopback interface only, wherever the listener is, and only to requests that
// name a loopback host: a page in the operator's browser, whose own name was made to point here, names another.
package admin
