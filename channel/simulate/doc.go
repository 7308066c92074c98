// Package simulate stands in for payment channels: it takes payments, sends signed notices and sends them again until they are
// acknowledged, answers refund interfaces, and misbehaves on request. The formats are the channels' own: a Dialect for each.
package simulate
