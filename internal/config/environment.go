package config

import (
	"slices"
	"strings"
)

// environmentName is the configuration that a KAFKA_ variable stands for, as the common container images have it: the prefix goes (KAFKA_CFG_ as well), one
// underscore is a dot, two are an underscore, three are a dash, and all is lower case.
func environmentName(variable string) string {
	rest, isCfg := strings.CutPrefix(variable, "KAFKA_CFG_")
	if !isCfg {
		rest = strings.TrimPrefix(variable, "KAFKA_")
	}
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(strings.ToLower(rest))
}

// ignoredVariables are KAFKA_ variables that configure something else than the broker, and why they are left alone. A name that ends in * is a prefix.
var ignoredVariables = []struct{ names, reason string }{
	{"KAFKA_HEAP_OPTS KAFKA_OPTS KAFKA_JVM_PERFORMANCE_OPTS KAFKA_GC_LOG_OPTS KAFKA_JMX_* KAFKA_DEBUG KAFKA_DEBUG_* KAFKA_JAVA_OPTS", "there is no JVM"},
	{"KAFKA_LOG4J_* KAFKA_LOG4J2_* KAFKA_TOOLS_LOG4J_* KAFKA_LOGGERS", "there is no log4j"},
	{"KAFKA_ZOOKEEPER_*", "there is no ZooKeeper"},
	{"KAFKA_HOME KAFKA_VERSION KAFKA_BASE_DIR KAFKA_CONF_DIR KAFKA_CONF_FILE KAFKA_VOLUME_DIR KAFKA_DATA_DIR KAFKA_MOUNTED_CONF_DIR KAFKA_CERTS_DIR " +
		"KAFKA_USER KAFKA_GROUP KAFKA_DAEMON_USER KAFKA_DAEMON_GROUP KAFKA_INIT_* KAFKA_INITSCRIPTS_DIR KAFKA_ENABLE_KRAFT KAFKA_SKIP_KRAFT_STORAGE_INIT " +
		"KAFKA_CREATE_TOPICS KAFKA_TLS_TYPE KAFKA_CLIENT_* KAFKA_INTER_BROKER_USER KAFKA_INTER_BROKER_PASSWORD KAFKA_CONTROLLER_USER KAFKA_CONTROLLER_PASSWORD",
		"it belongs to the start script of a container image"},
	{"KAFKA_BROKERS KAFKA_BROKER KAFKA_BROKER_URL KAFKA_URL KAFKA_HOST KAFKA_TOPIC KAFKA_TOPICS KAFKA_BOOTSTRAP_SERVER KAFKA_BOOTSTRAP_SERVERS KAFKA_CLIENTID KAFKA_GROUPID",
		"it is meant for clients"},
	{"KAFKA_SERVICE_* KAFKA_PORT KAFKA_PORT_* KAFKA_*_SERVICE_HOST KAFKA_*_SERVICE_PORT KAFKA_*_SERVICE_PORT_* KAFKA_*_PORT KAFKA_*_PORT_*",
		"Kubernetes sets it to announce a service"},
}

// ignoredVariable says why a variable is left alone; empty when it is a configuration.
func ignoredVariable(variable string) string {
	for _, group := range ignoredVariables {
		for pattern := range strings.FieldsSeq(group.names) {
			if matches(pattern, variable) {
				return group.reason
			}
		}
	}
	return ""
}

// matches compares a name with a pattern in which * stands for anything but nothing.
func matches(pattern, name string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	rest, fits := strings.CutPrefix(name, before)
	if !fits {
		return false
	}
	for i := 1; i <= len(rest); i++ {
		if matches(after, rest[i:]) {
			return true
		}
	}
	return false
}

// imagePrefix begins the variables in which a container image brings its own defaults along: BARNABAS_DEFAULT_LISTENERS is a listeners that holds until somebody sets
// listeners in any way.
const imagePrefix = "BARNABAS_DEFAULT_"

// imageOrigin is where such defaults come from, for messages.
const imageOrigin = "default of the image"

// readImageDefaults comes before every other source.
func (v *values) readImageDefaults(environment []string) {
	for _, entry := range slices.Sorted(slices.Values(environment)) {
		variable, value, found := strings.Cut(entry, "=")
		if rest, ours := strings.CutPrefix(variable, imagePrefix); found && ours && value != "" {
			v.assign(environmentName(rest), value, imageOrigin, variable)
		}
	}
}

// dropAdvertisedDefault forgets the image's advertised.listeners where listeners are not the image's: the two belong together.
func (v *values) dropAdvertisedDefault() {
	const name = "advertised.listeners"
	if _, isSet := v.set["listeners"]; isSet && v.origin["listeners"] != imageOrigin && v.origin[name] == imageOrigin {
		delete(v.set, name)
	}
}

// clusterVariables name the cluster without being KAFKA_ configurations of that name.
var clusterVariables = map[string]bool{"CLUSTER_ID": true, "KAFKA_CLUSTER_ID": true, "KAFKA_KRAFT_CLUSTER_ID": true, "KAFKA_CFG_CLUSTER_ID": true}
