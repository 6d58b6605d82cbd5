package broker

import (
	"maps"

	"github.com/barnabas-log/barnabas/internal/metadata"
)

// spot is a place as nodes write it to each other.
type spot struct {
	Topic  metadata.TopicID `json:"topic"`
	Number int32            `json:"number"`
}

// OfflineReplicas implements protocol.Backend: the nodes that live and whose replica of the partition does not work, as far as this one has heard.
func (b *Broker) OfflineReplicas(topic metadata.TopicID, number int32) (nodes []int32) {
	if r := b.hosting.find(topic, number); r != nil && r.ailment() != nil {
		nodes = append(nodes, b.nodeID)
	}
	return b.leaders.offlineAt(place{topic, number}, nodes)
}

// ailingPlaces are the replicas of this node that do not work.
func (h *hosting) ailingPlaces() map[place]bool {
	all := map[place]bool{}
	for _, t := range *h.topics.Load() {
		for i := range t.replicas {
			if r := t.replicas[i].Load(); r != nil && r.ailment() != nil {
				all[r.place()] = true
			}
		}
	}
	return all
}

// offlineAt adds the other nodes whose replica does not work.
func (l *leaders) offlineAt(p place, nodes []int32) []int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for node, places := range l.offline {
		if places[p] {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// ail notes which replicas of this node do not work; a change is told to everyone, the whole set each time: it is empty nearly always.
func (l *leaders) ail(places map[place]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if maps.Equal(l.ailing, places) {
		return
	}
	l.ailing = places
	for node := range l.greets {
		l.untold[node] = true
	}
	l.wake()
}

// ailingLocked is what this node's replicas are to be told as.
func (l *leaders) ailingLocked() *[]spot {
	all := make([]spot, 0, len(l.ailing))
	for p := range l.ailing {
		all = append(all, spot{p.topic, p.number})
	}
	return &all
}

// toldOfflineLocked takes what another node says of its replicas. Whoever leads works.
func (l *leaders) toldOfflineLocked(from int32, news led) {
	if news.Offline != nil {
		delete(l.offline, from)
		for _, at := range *news.Offline {
			if l.offline[from] == nil {
				l.offline[from] = map[place]bool{}
			}
			l.offline[from][place{at.Topic, at.Number}] = true
		}
	}
	for _, n := range news.Partitions {
		delete(l.offline[from], place{n.Topic, n.Number})
	}
}
