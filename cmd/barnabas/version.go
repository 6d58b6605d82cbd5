package main

import "runtime/debug"

// release is set by the linker where the sources come without their history, as in the image.
var release string

// version is what --version prints: the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	if release != "" {
		v = release
	}
	if revision := settings["vcs.revision"]; revision != "" {
		v += " (commit " + revision[:min(12, len(revision))]
		if settings["vcs.modified"] == "true" {
			v += ", modified"
		}
		v += ")"
	}
	return v + ", " + info.GoVersion
}
