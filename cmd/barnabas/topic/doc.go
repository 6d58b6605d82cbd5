// Package topic is the noun `barnabas topic`: one file for each verb.
package topic
