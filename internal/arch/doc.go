// Package arch holds tests only: it keeps the shape of the house. The import graph, who may use which library, and that every package
// says what it is for.
package arch
