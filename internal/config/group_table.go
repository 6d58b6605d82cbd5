package config

// groupTable has the configurations of single groups (KIP-848, KIP-932).
var groupTable = []*Definition{
	{Name: "consumer.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Effect: Later, Doc: "Heartbeat interval of this group.", Synonyms: same("group.consumer.heartbeat.interval.ms")},
	{Name: "consumer.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Effect: Later, Doc: "Session timeout of this group.", Synonyms: same("group.consumer.session.timeout.ms")},
	{Name: "share.auto.offset.reset", Type: String, Default: "latest", Effect: Later, Doc: "Where a share group starts: earliest, latest or by_duration:PT1H."},
	{Name: "share.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Effect: Later, Doc: "Heartbeat interval of this share group.", Synonyms: same("group.share.heartbeat.interval.ms")},
	{Name: "share.isolation.level", Type: String, Default: "read_uncommitted", check: oneOf("read_committed", "read_uncommitted"), Effect: Later, Doc: "Whether this share group sees open transactions."},
	{Name: "share.record.lock.duration.ms", Type: Int, Default: "30000", check: between(1000, 3600000), Effect: Later, Doc: "How long a consumer of this group has for a record.", Synonyms: same("group.share.record.lock.duration.ms")},
	{Name: "share.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Effect: Later, Doc: "Session timeout of this share group.", Synonyms: same("group.share.session.timeout.ms")},
}

var groupIndex = index(groupTable)

// Groups are the definitions of the configurations of single groups, by name. They must not be changed.
func Groups() []*Definition { return groupTable }

// ValidateGroup checks all that is set on a group.
func ValidateGroup(values map[string]string) error {
	for _, name := range sortedNames(values) {
		d := groupIndex[name]
		if d == nil {
			return kafka("Unknown group config name: %s", name)
		}
		if err := d.Validate(values[name]); err != nil {
			return err
		}
	}
	return nil
}

// ResolveGroup describes every configuration of a group on which overrides were set, by name.
func ResolveGroup(overrides map[string]string, layers Layers) []Row {
	rows := make([]Row, 0, len(groupTable))
	for _, d := range groupTable {
		row := Row{Name: d.Name, Source: Default, Type: d.Type, Doc: d.Doc, Synonyms: layers.synonyms(d.Synonyms)}
		if value, source, isSet := layers.inherited(d); isSet {
			row.Value, row.Source = &value, source
		}
		if value, isSet := overrides[d.Name]; isSet {
			row.Value, row.Source = &value, DynamicGroup
			row.Synonyms = append([]RowSynonym{{Name: d.Name, Value: &value, Source: DynamicGroup}}, row.Synonyms...)
		}
		rows = append(rows, row)
	}
	return rows
}
