package protocol

// What a client may do, as a bit for each operation, in replies that were asked for it. Without an authorizer everything that Kafka defines for the kind of resource is
// allowed.
const (
	notAsked          int32 = -1 << 31 // authorized operations were not asked for
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	groupOperations   int32 = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
)

// operations is all if they were asked for.
func operations(asked bool, all int32) int32 {
	if asked {
		return all
	}
	return notAsked
}
