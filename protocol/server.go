package protocol

import (
	"context"
	"net"

	"go.uber.org/zap"
)

// Options of a Server; zero values are Kafka's defaults. Names in brackets are Kafka's.
type Options struct {
	MaxRequestBytes   int   // socket.request.max.bytes
	MaxConnections    int   // max.connections
	MaxPerIP          int   // max.connections.per.ip
	MaxIdleMs         int64 // connections.max.idle.ms
	InFlightBytes     int64 // queued.max.request.bytes: bytes of requests in hand over all connections
	FetchMaxBytes     int   // fetch.max.bytes
	MaxFetchSessions  int   // max.incremental.fetch.session.cache.slots
	AutoCreate        bool  // auto.create.topics.enable
	DeleteTopicEnable bool  // delete.topic.enable
	Logger            *zap.Logger
}

// Server speaks Kafka's protocol on any number of listeners.
type Server struct {
	backend Backend
	opts    Options
	log     *zap.Logger
	table   map[int16]*api
}

func NewServer(b Backend, o Options) *Server { panic("unwritten") }

// Serve accepts connections until the listener is closed or Shutdown; name is the listener's (PLAINTEXT), which decides the advertised addresses.
func (s *Server) Serve(l net.Listener, name string) error { panic("unwritten") }

// Shutdown stops accepting, lets requests in hand finish until ctx ends, then closes every connection.
func (s *Server) Shutdown(ctx context.Context) error { panic("unwritten") }
