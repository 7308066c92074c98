// Package dialects is the list of the channels that can be simulated.
package dialects
