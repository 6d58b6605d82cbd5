// Package log is the noun `barnabas log`: it looks into segment files, without a broker. One file for each verb.
package log
