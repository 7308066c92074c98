// Package roster knows the real channels that a process has: it loads each one's settings and keys from a directory, and loads them
// again when their files change, so that keys and certificates rotate without a restart.
//
// # The directory
//
//	channels/
//	    wechat.json        the settings of WeChat Pay: what Load of package wechat takes
//	    wechat/            the files that those settings name, relative to here
//	        apiclient_key.pem
//	        pub_key.pem
//	    alipay.json
//	    alipay/
//	        …
//
// A channel whose settings are not there is not served; they may come later. Each channel has a folder of its own, because all of them
// like to call a key "private_key.pem".
//
// # Rotation
//
// Run looks every few seconds. It compares the contents of a channel's files, not their times, with those that it saw last, and loads the
// channel when they differ. Who changes several files writes the settings last: a look in between loads what it finds, or refuses it and
// looks again.
//
// # Invariants
//
//   - R1 Port never goes back: once a channel was loaded there is always a port for it. Settings that are refused, and settings that are
//     gone, leave the last good one in place; each version of the files is logged and counted once.
//   - R2 What Port returned stays usable for ever: a port is immutable, and a call under way ends with the keys that it began with.
//   - R3 Open refuses what is wrong: a process never starts with fewer channels than its directory has.
package roster
