package log

// Configuration is the encoded Raft configuration in force at entry i, and the index of its entry: the last KindConfiguration at or before i, or that of the
// floor. Safe from any goroutine.
func (l *Log) Configuration(i Index) (data []byte, at Index, err error) {
	list := *l.controls.Load()
	for k := list.from(i+1) - 1; k >= 0; k-- {
		if c := list[k]; c.kind == KindConfiguration {
			data, err = l.controlData(nil, c.meta())
			return data, c.index, err
		}
	}
	floor := l.Floor()
	return floor.Configuration, floor.ConfigurationIndex, nil
}
