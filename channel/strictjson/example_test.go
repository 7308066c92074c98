package strictjson_test

import (
	"fmt"

	"github.com/settled-dev/settled/channel/strictjson"
)

func ExampleParse() {
	notice, err := strictjson.Parse([]byte(`{"out_trade_no": "o1", "amount": {"total": 1e2}}`))
	fmt.Println(notice.Get("out_trade_no").Text, notice.Get("amount").Fields.Get("total").Text, err)
	_, err = strictjson.Parse([]byte(`{"total": 100, "total": 1}`))
	fmt.Println("the notice", err)
	// Output:
	// o1 1e2 <nil>
	// the notice has a field twice
}
