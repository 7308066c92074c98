package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

func TestOnlyAddressesOfThePublicInternetArePublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "223.5.5.5": true, "2400:3200::1": true, "2606:4700:4700::1111": true, "::ffff:1.1.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "127.255.255.254": false, "10.0.0.1": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "192.0.0.8": false, "192.0.2.1": false,
		"192.88.99.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1%eth0": false, "2400:3200::1%eth0": false, "fc00::1": false, "fd12::1": false,
		"ff02::1": false, "2001:db8::1": false, "3fff::1": false, "100::1": false, "5f00::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, // mapped, compatible
		"64:ff9b::7f00:1": false, "64:ff9b::808:808": false, "64:ff9b:1::1": false, // NAT64
		"2002:7f00:1::": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, // 6to4, Teredo
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v, want %v", text, got, want)
		}
	}
}

// resolving gives every host the addresses.
func resolving(addresses ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var list []netip.Addr
		for _, address := range addresses {
			list = append(list, netip.MustParseAddr(address))
		}
		return list, nil
	}
}

func TestURLIsCheckedWhenAnEndpointIsMade(t *testing.T) {
	t.Parallel()
	public := Guard{Resolve: resolving("1.1.1.1")}
	for _, c := range []struct {
		guard   Guard
		url     string
		problem string // "" when it is allowed
	}{
		{public, "https://shop.example/hook?token=1", ""},
		{public, "https://shop.example:8443", ""},
		{Guard{}, "https://1.1.1.1/hook", ""},
		{Guard{}, "https://[2606:4700:4700::1111]:443/hook", ""},
		{public, "http://shop.example/hook", `has the scheme "http"`},
		{public, "ftp://shop.example/hook", `has the scheme "ftp"`},
		{public, "file:///etc/passwd", "is not a URL"},
		{public, "shop.example/hook", "is not a URL"},
		{public, "//shop.example", `has the scheme ""`},
		{public, "https://:443/", "is not a URL"},
		{public, "", "is not a URL"},
		{public, "https://shop.example/%zz", "is not a URL"},
		{public, "https://shop.example/" + strings.Repeat("x", urlBytesMax), "is not a URL"},
		{public, "https://shop.example:65535/", ""},
		{public, "https://shop.example:/", ""},
		{public, "https://shop.example:0/", "has the port"},
		{public, "https://shop.example:65536/", "has the port"},
		{Guard{AllowPrivate: true}, "http://127.0.0.1:99999999999999999999/", "has the port"},
		{public, "https://user@shop.example/", "has a user or a fragment"},
		{public, "https://shop.example/#x", "has a user or a fragment"},
		{Guard{}, "https://127.0.0.1/", "address is not public"},
		{Guard{}, "https://[::1]/", "address is not public"},
		{Guard{}, "https://[::ffff:7f00:1]/", "address is not public"},
		{Guard{}, "https://[fe80::1%25eth0]/", "address is not public"},
		{Guard{}, "https://169.254.169.254/latest/meta-data/", "address is not public"},
		{Guard{Resolve: resolving("1.1.1.1", "10.0.0.1")}, "https://shop.example/", "address is not public"},
		{Guard{Resolve: resolving()}, "https://shop.example/", "is not found"},
		{Guard{Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no") }}, "https://shop.example/", "is not found"},
		{Guard{AllowPrivate: true}, "http://127.0.0.1:8080/hook", ""},
		{Guard{AllowPrivate: true}, "https://shop.internal/hook", ""},
		{Guard{AllowPrivate: true}, "gopher://127.0.0.1/", `has the scheme "gopher"`},
	} {
		err := c.guard.checkURL(t.Context(), c.url)
		var refused *tasks.FieldError
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%.60s: %v", c.url, err)
		case c.problem != "" && (!errors.As(err, &refused) || refused.Field != "url" || !strings.Contains(refused.Problem, c.problem)):
			t.Errorf("%.60s: %v, want that it %s", c.url, err, c.problem)
		}
	}
}

func FuzzURLIsNeverCalledThatIsNotHTTPSAtAHost(f *testing.F) {
	for _, seed := range []string{"https://shop.example/hook", "http://x", "https://[::1]:1/", "https://a@b", "https://0x7f.1/", "\x00", "https://a\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		guard := Guard{Resolve: resolving("1.1.1.1")}
		if err := guard.checkURL(t.Context(), text); err != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("%q is allowed: %+v, %v", text, u, err)
		}
	})
}

// A name that was public when the endpoint was made, and leads into the private network when it is called.
func TestNameThatTurnsPrivateIsNotCalled(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.registry.Guard = Guard{Resolve: resolving("1.1.1.1")}
	e, _ := w.add(t, "https://localhost:"+port+"/hook", "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	c.client = Guard{Resolve: resolving("1.1.1.1")}.client(attemptTimeout)
	round(t, c)
	if m := w.messages(t, e)[0]; m.State != Waiting || m.Problem != "its address is not public" || m.Status != 0 {
		t.Errorf("message %+v", m)
	}
	if got := r.take(); len(got) != 0 {
		t.Error("the private server was called")
	}
}

// An endpoint of a time when private addresses and plain http were allowed.
func TestEndpointThatWasAllowedBeforeIsRefusedNow(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	c.client = Guard{}.client(attemptTimeout)
	round(t, c)
	if m := w.messages(t, e)[0]; m.Problem != "its url is not https" {
		t.Errorf("message %+v", m)
	}
	if got := r.take(); len(got) != 0 {
		t.Error("it was called")
	}
}

func TestRedirectsAreNotFollowedAndProxiesNotUsed(t *testing.T) {
	t.Parallel()
	w, r, elsewhere := newWorld(t), newReceiver(t), newReceiver(t)
	r.answers(func(w http.ResponseWriter, request *http.Request) {
		http.Redirect(w, request, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	round(t, c)
	if m := w.messages(t, e)[0]; m.State != Waiting || m.Status != http.StatusTemporaryRedirect {
		t.Errorf("message %+v", m)
	}
	if got := elsewhere.take(); len(got) != 0 {
		t.Error("the redirect was followed")
	}
	if transport := c.client.Transport.(guardedTransport).next; transport.Proxy != nil {
		t.Error("a proxy of the environment would be used")
	}
}
