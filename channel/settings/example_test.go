package settings_test

import (
	"fmt"

	"github.com/settled-dev/settled/channel/settings"
)

func ExampleRead() {
	known := []settings.Setting{{Name: "mer_id", Needed: true}, {Name: "base_url", Needed: true}}
	r := settings.Read("/etc/settled/channels", []byte(`{"mer_id": "308 999", "base_url": "https://bank.example"}`), known)
	fmt.Println(r.URL("base_url", true), r.ID("mer_id") != "")
	fmt.Println(r.Err())
	// Output:
	// https://bank.example true
	// mer_id is empty, too long or has other characters; allowed: 1 to 64 of the characters A-Z a-z 0-9 _ -
}
