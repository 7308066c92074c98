package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// ErrPrivateAddress says that an address is not one of the public internet: a webhook must not reach into the network that it is sent
// from.
var ErrPrivateAddress = errors.New("address is not public")

// errPlain says that a message would go over the public internet for all to read.
var errPlain = errors.New("url is not https")

// publicIPv6 is all of IPv6 that is assigned to the public internet. IPv4 addresses in other clothes lie outside it (mapped, compatible,
// NAT64) or are taken out below (6to4, Teredo).
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// notPublic are the ranges that netip's own methods leave open: IANA's special-purpose registries (RFC 6890 and its updates).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

func isPublic(address netip.Addr) bool {
	address = address.Unmap() // one with a zone lies in no prefix, and so is not public
	if !address.IsGlobalUnicast() || address.IsPrivate() || address.Is6() && !publicIPv6.Contains(address) {
		return false
	}
	return !slices.ContainsFunc(notPublic, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}

// Guard says which addresses may be called.
type Guard struct {
	// AllowPrivate lets private and loopback addresses and plain http be used: for trying it out, and inside a closed network. Defaults
	// to false.
	AllowPrivate bool
	// Resolve finds the addresses of a host when an endpoint is made. Defaults to the system's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

func (g Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if g.Resolve != nil {
		return g.Resolve(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

const urlBytesMax = 2000

// checkURL refuses what could not be called, or must not be. It returns a *tasks.FieldError.
func (g Guard) checkURL(ctx context.Context, text string) error {
	refuse := func(problem string) error {
		return &tasks.FieldError{Field: "url", Problem: problem, Allowed: "https://host[:port]/path of a public host, without user and fragment"}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || len(text) > urlBytesMax || tasks.CheckText("url", u.Hostname()) != nil:
		return refuse("is not a URL")
	case u.User != nil || u.Fragment != "":
		return refuse("has a user or a fragment")
	case u.Port() != "" && !isPort(u.Port()):
		return refuse(fmt.Sprintf("has the port %.40q", u.Port()))
	case u.Scheme != "https" && (u.Scheme != "http" || !g.AllowPrivate):
		return refuse(fmt.Sprintf("has the scheme %q", u.Scheme))
	case g.AllowPrivate:
		return nil
	}
	addresses, err := g.resolve(ctx, u.Hostname())
	isPrivate := func(a netip.Addr) bool { return !isPublic(a) }
	if err == nil && len(addresses) > 0 && !slices.ContainsFunc(addresses, isPrivate) {
		return nil
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return refuse("names a host whose address is not public")
	}
	// Which of the two it is would tell a producer what names the network has inside.
	return refuse("names a host that is not found, or whose address is not public")
}

// isPort says whether something can listen there.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// client makes the HTTP client of deliveries. It looks at the address that is dialled, after the name was resolved: a name may have
// turned private since the endpoint was made. It follows no redirect and uses no proxy: a proxy would do the dialling.
func (g Guard) client(timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("read the dialled address: %w", err)
		}
		if !g.AllowPrivate && !isPublic(to.Addr()) {
			return ErrPrivateAddress
		}
		return nil
	}}
	return &http.Client{
		Timeout: timeout,
		Transport: guardedTransport{guard: g, next: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true, TLSHandshakeTimeout: timeout,
			MaxIdleConns: attemptsAtOnce, MaxIdleConnsPerHost: shareMax, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guardedTransport refuses plain http, which an endpoint may have from a time when it was allowed.
type guardedTransport struct {
	guard Guard
	next  *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t guardedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" && !t.guard.AllowPrivate {
		return nil, errPlain
	}
	return t.next.RoundTrip(request)
}

// CloseIdleConnections is called by http.Client's.
func (t guardedTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }
