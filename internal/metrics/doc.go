// Package metrics is the one place that knows how figures reach Prometheus: a registry, the kinds of figures that other packages may keep, and the rules
// for their names. It knows nothing of the packages that count.
//
// # How a package counts
//
// A package declares a struct Metrics with the figures that it keeps and a function NewMetrics that makes them from a Registry. Its Options take a pointer to
// it; nil means that the package makes one of its own, from a nil Registry: the figures are kept and nobody reads them. Code that counts therefore never asks whether
// anyone listens. internal/broker makes the registry and hands the structs in.
//
// Figures that change often are counters and histograms, held in a field: an update is one or a few atomic additions, without a lock, without an allocation and without
// looking a label up. Figures that can be had by looking (how many connections are open, how far a group is behind) are not counted at all but asked for when someone
// scrapes.
//
// # Names
//
// A name begins with barnabas_, ends with its unit (seconds, bytes, records, ...) and, when it only ever grows, with _total. Labels are few and their values are bounded: whatever
// a client may choose (its software, a group's name) is cut off at a limit that the figure's description names.
package metrics
