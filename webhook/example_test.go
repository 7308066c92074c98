package webhook_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/settled-dev/settled/webhook"
)

// A name may lead anywhere: an endpoint whose host has a private address is not made.
func ExampleRegistry_Add() {
	registry := webhook.Registry{Guard: webhook.Guard{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.7")}, nil
	}}}
	_, _, err := registry.Add(context.Background(), webhook.NewEndpoint{Producer: "shop", URL: "https://intranet.example/hook",
		Events: []webhook.Event{webhook.RefundChannelFailed}, By: "ada"})
	fmt.Println(err)
	// Output:
	// url names a host that is not found, or whose address is not public; allowed: https://host[:port]/path of a public host, without user and fragment
}
