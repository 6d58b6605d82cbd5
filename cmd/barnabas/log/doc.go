// Package log is the noun `barnabas log`: it looks into segment files without a broker, and shows what nodes say of theirs. One file for each verb.
package log
