// Package strictjson reads foreign JSON that moves money: one object, every byte of it understood, numbers as they were written. What
// two readers could understand in two ways is refused: a field twice, invalid UTF-8, more text behind the end. It is faster than
// encoding/json, which takes as long for a channel's notice as the verification of the notice's signature.
package strictjson
