package consumergroup

import (
	"fmt"
	"testing"
)

func TestSurveyCountsGroupsAndListsOffsetsUpToALimit(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, _ *node) {
		if v := s.Survey(t.Context(), 10); len(v.States) != 4 || v.States["Empty"] != 0 || v.States["Stable"] != 0 || len(v.Committed) != 0 {
			t.Errorf("without groups: %+v", v)
		}
		joined := s.Join(t.Context(), joinRequest(""))
		s.Sync(t.Context(), SyncRequest{Group: "g", Generation: 1, MemberID: joined.MemberID, Assignments: map[string][]byte{joined.MemberID: nil}})
		for _, group := range []string{"a", "b"} {
			r := CommitRequest{Group: group, Generation: -1, Retention: -1}
			for number := range int32(3) {
				r.Offsets = append(r.Offsets, CommitOffset{TopicPartition{"t", number}, Offset{Offset: int64(number) * 10, LeaderEpoch: -1}})
			}
			s.Commit(t.Context(), r)
		}
		v := s.Survey(t.Context(), 4)
		if v.States["Empty"] != 2 || v.States["Stable"] != 1 || v.Members != 1 {
			t.Errorf("%+v", v)
		}
		if got := fmt.Sprint(v.Committed); got != "[{a {t 0} 0} {a {t 1} 10} {a {t 2} 20} {b {t 0} 0}]" || v.Omitted != 2 {
			t.Errorf("%s, %d omitted", got, v.Omitted)
		}
		if v = s.Survey(t.Context(), 100); len(v.Committed) != 6 || v.Omitted != 0 {
			t.Errorf("%+v", v)
		}
		if v = s.Survey(t.Context(), 3); len(v.Committed) != 3 || v.Omitted != 3 {
			t.Errorf("%+v", v)
		}
	})
}
