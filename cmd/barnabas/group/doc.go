// Package group is the noun `barnabas group`: consumer groups, one file for each verb.
package group
