// Package consumergroup is the group coordinator.
package consumergroup
