//go:build !unsafeack

package partition

// answerWhenStored is false in every build that anyone runs. See acknowledge_unsafe.go.
const answerWhenStored = false
