// Package settings reads what a merchant has from a channel: a JSON object of settings, and the files that it names in its directory. A
// channel's package says which settings there are and turns them into keys and numbers. What is wrong is refused by the setting's name,
// in words that quote no key.
package settings
