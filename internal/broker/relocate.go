package broker

// futureSuffix is what the name of a directory ends with into which a replica is being copied.
const futureSuffix = ".future"
