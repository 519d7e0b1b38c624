package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Client speaks to a Server. The zero value but for Addr is ready to use.
type Client struct {
	Addr  string       // host:port; where it listens on every address, it is asked on loopback
	Token string       // default none
	HTTP  *http.Client // default: no proxy, no redirects
}

// direct asks nobody else: a proxy would see the token.
var direct = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// ErrNotFound says that a process has nothing at a path.
var ErrNotFound = errors.New("not found")

// Do asks for a path. An answer that is not 2xx is an error that says why; of a process
// that is not ready it wraps ErrUnhealthy, and of one that does not know the path
// ErrNotFound. The caller closes the body.
func (c *Client) Do(ctx context.Context, method, path string) (*http.Response, error) {
	addr := reachable(c.Addr)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = direct
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("admin: nothing answers at %s; is it running, with that as its admin.listen? %w", addr, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	return nil, fmt.Errorf("admin: %s%s: %w", addr, path, refusal(resp))
}

// refusal is the error that an answer stands for.
func refusal(resp *http.Response) error {
	const most = 64 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return fmt.Errorf("%s: %w", record.Escaped(resp.Status), err)
	}
	var h Health
	if err := json.Unmarshal(body, &h); err == nil && h.Checks != nil {
		return fmt.Errorf("%w: %s", ErrUnhealthy, failed(h))
	}
	var doc struct{ Title, Detail string }
	_ = json.Unmarshal(body, &doc) // what is no problem document has its status at least
	words := record.Escaped(resp.Status)
	if doc.Detail != "" {
		words += ": " + record.Escaped(doc.Detail)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		words += "; set EARSHOT_ADMIN_TOKEN or EARSHOT_ADMIN_TOKEN_FILE"
	}
	if resp.StatusCode == http.StatusNotFound {
		return notFound(words)
	}
	return errors.New(words)
}

// notFound is ErrNotFound in the words of an answer.
type notFound string

func (e notFound) Error() string      { return string(e) }
func (notFound) Is(target error) bool { return target == ErrNotFound }

// failed lists the checks that say no, and what is not well.
func failed(h Health) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		res := h.Checks[name]
		switch {
		case res.Error != "" && !strings.HasPrefix(res.State, "degraded: "): // which says more
			all = append(all, record.Escaped(name+": "+res.Error))
		case !strings.HasPrefix(res.State, "ok"):
			all = append(all, record.Escaped(name+": "+res.State))
		}
	}
	return strings.Join(all, "; ")
}

// reachable is addr with a host that one can connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	a, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && a.Is4() && a.IsUnspecified():
		host = "127.0.0.1"
	case err == nil && a.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
