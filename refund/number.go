package refund

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// numberBytes is what every channel takes as a refund's number: letters and digits, 8 to 32 of them at UnionPay; WeChat Pay and
// Alipay take more and longer ones.
const numberBytes = 32

const numberPrefix = "rf"

// Number is the refund number under which a channel is asked for a leg of a refund. It is the same every time, and differs for every
// refund and leg: it holds 120 bits of the SHA-256 of both. A refund id itself may be longer, and have characters, than channels take.
func Number(refundID string, leg int) string {
	sum := sha256.Sum256([]byte(refundID + "/" + strconv.Itoa(leg))) // an id holds no slash, so this has one reading
	return (numberPrefix + hex.EncodeToString(sum[:]))[:numberBytes]
}

// isFirst says that a number may be one of Number's: nothing was sent for its leg before it.
func isFirst(number string) bool { return strings.HasPrefix(number, numberPrefix) }
