// Package record is `barnabas produce` and `barnabas consume`: records into topics and out of them.
package record
