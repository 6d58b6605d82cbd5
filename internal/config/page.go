package config

import (
	"fmt"
	"strings"
)

// Page is docs/configuration.md: everything that can be configured, from the table.
func Page() string {
	var p strings.Builder
	p.WriteString(pageHead)
	for _, section := range sections() {
		fmt.Fprintf(&p, "\n### %s\n\n", section)
		writeTable(&p, serverTable, section)
	}
	p.WriteString(pageTopics)
	writeTable(&p, topicTable, "")
	p.WriteString("\n## Groups\n\nSet with `kafka-configs.sh --entity-type groups`.\n\n")
	writeTable(&p, groupTable, "")
	p.WriteString(pageIgnored)
	for _, group := range ignoredNames {
		fmt.Fprintf(&p, "- %s: %s.\n", codeList(group.names), group.reason)
	}
	p.WriteString("\nOf the environment, these are left alone as well:\n\n")
	for _, group := range ignoredVariables {
		fmt.Fprintf(&p, "- %s: %s.\n", codeList(group.names), group.reason)
	}
	p.WriteString("\nRefused, because ignoring it would leave open what its owner believes to be closed:\n\n")
	for _, name := range sortedNames(refusedNames) {
		fmt.Fprintf(&p, "- `%s`: %s.\n", name, refusedNames[name])
	}
	return p.String()
}

const pageHead = `<!-- Generated from internal/config by go generate ./internal/config. Do not edit. -->

# Configuration

Without any configuration, ` + "`barnabas`" + ` is node 1, alone, listens on 127.0.0.1:9092 and keeps its data in ./data.

Names are Kafka's. They are read from three places; later ones win:

1. a properties file: ` + "`barnabas --config server.properties`" + `;
2. the environment, as the common container images map it: ` + "`KAFKA_ADVERTISED_LISTENERS`" + ` is advertised.listeners (one underscore is a dot, two are an
   underscore, three are a dash; ` + "`KAFKA_CFG_`" + ` works as well), and ` + "`CLUSTER_ID`" + ` is cluster.id;
3. the command line: ` + "`--set name=value`" + `, as often as you like.

An unknown name is an error, and so is a bad value; all problems are reported at once. What Kafka knows but nothing here could follow is
[accepted and logged](#ignored).

"Acted on" says honestly what a setting does here: *yes*; *not yet* (accepted, checked and described to clients, but nothing follows from it); *no meaning here*.
"Live" settings can be changed while the broker runs, for one broker or for all, with ` + "`kafka-configs.sh --entity-type brokers`" + `.

## Server
`

const pageTopics = `
## Topics

Set with ` + "`kafka-configs.sh --entity-type topics`" + ` or when a topic is created. What is not set comes from the server's configuration in the last column.

`

const pageIgnored = `
## Ignored

These are accepted and logged as ignored (` + "`*`" + ` stands for any ending):

`

func sections() []string {
	var names []string
	for _, d := range serverTable {
		if len(names) == 0 || names[len(names)-1] != d.section {
			names = append(names, d.section)
		}
	}
	return names
}

// writeTable writes the definitions of one section.
func writeTable(p *strings.Builder, table []*Definition, section string) {
	last := "Live"
	if section == "" {
		last = "Server default"
	}
	fmt.Fprintf(p, "| Name | Type | Default | Meaning | Acted on | %s |\n|---|---|---|---|---|---|\n", last)
	for _, d := range table {
		if d.section != section || d.Hidden {
			continue
		}
		meaning := d.Doc
		if allowed := d.Allowed(); allowed != "" {
			meaning += " Allowed: " + allowed + "."
		}
		if d.Note != "" {
			meaning += " *" + d.Note + "*"
		}
		fmt.Fprintf(p, "| `%s` | %s | %s | %s | %s | %s |\n", d.Name, strings.ToLower(d.Type.String()), defaultCell(d), strings.ReplaceAll(meaning, "|", "\\|"), d.Effect, lastCell(d))
	}
}

func defaultCell(d *Definition) string {
	switch {
	case d.NoValue:
		return "none"
	case d.Default == "":
		return "empty"
	case d.Default == maxLong:
		return "2^63-1"
	}
	return "`" + d.Default + "`"
}

func lastCell(d *Definition) string {
	if d.section != "" {
		if d.Dynamic {
			return "live"
		}
		return ""
	}
	var names []string
	for _, s := range d.Synonyms {
		names = append(names, "`"+s.Name+"`")
	}
	return strings.Join(names, ", ")
}

func codeList(names string) string {
	return "`" + strings.Join(strings.Fields(names), "`, `") + "`"
}
