// Package channeltest is what the tests of channels and of their simulators share: keys, files and settings, checks of what holds of
// every channel, and a desk.
package channeltest
