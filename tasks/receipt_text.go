package tasks

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// AppendJSON appends what encoding/json writes of the receipt, to which it leaves all but the usual ones: those that only say that a
// request is stored. It fails as json.Marshal does.
func (r *Receipt) AppendJSON(buf []byte) ([]byte, error) {
	usual := r.Outcome == nil && len(r.Fields) == 0 && isPlain(string(r.Kind)) && isPlain(r.Key) && isPlain(string(r.Status))
	if !usual {
		text, err := json.Marshal(r)
		if err != nil {
			return buf, fmt.Errorf("write a receipt: %w", err)
		}
		return append(buf, text...), nil
	}
	id, _ := r.ID.MarshalText() // it returns no error
	buf = append(append(buf, `{"id":"`...), id...)
	buf = strconv.AppendInt(append(buf, `","book":`...), int64(r.Book), 10)
	buf = append(append(buf, `,"kind":"`...), r.Kind...)
	buf = append(append(buf, `","key":"`...), r.Key...)
	buf = append(append(buf, `","status":"`...), r.Status...)
	return append(buf, `"}`...), nil
}
