// Package examples holds programs that use settled from outside, as its users would. What they print is compared in a test with the file
// beside them.
package examples
