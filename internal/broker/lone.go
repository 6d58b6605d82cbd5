package broker

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/barnabas-log/barnabas/replication"
)

// LoneConfiguration is what a partition's log holds of who votes, where the node that the data directory belongs to is the only one: for the repair of a partition whose log cannot tell any more.
func LoneConfiguration(data string) ([]byte, error) {
	name := filepath.Join(data, identityName)
	set, err := readProperties(name)
	if err != nil {
		return nil, err
	}
	node, err := strconv.ParseInt(set["node.id"], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%s: node.id: %w", name, err)
	}
	return replication.LoneConfiguration(int32(node)), nil
}
