// Package reference shows the description of the HTTP API as a page for people. The page is made from the description itself, so it
// tells what the code does; it is one HTML text and one style sheet, runs no script, and loads nothing from anywhere else: it can be
// read where there is no network.
package reference
