package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/earshot-mq/earshot/gateway/static"
	"github.com/earshot-mq/earshot/internal/config"
)

// setFolder makes a route of one to files.
func (r *Route) setFolder(c *RouteConfig) error {
	if c.Timeout != 0 {
		return config.At("timeout", errors.New("is for an upstream that is asked; files are there at once"))
	}
	return r.setRead(c, "a file")
}

// file answers with a file of the target's folder.
func (c *call) file(rawPath string) {
	c.exchange.SetBodyLimit(c.route.body)
	if c.exchange == nil { // otherwise the recorder sets it
		c.w.Header()["X-Request-Id"] = []string{c.id}
	}
	if asksWebSocket(c.r) {
		c.w.Header()["Connection"] = []string{"close"} // the strict listener judges nothing after it
	}
	name, err := url.PathUnescape(rawPath)
	if err == nil {
		err = c.target.folder.Serve(&patient{c.w, c}, c.r, name)
	}
	switch {
	case errors.Is(err, static.ErrNotFound):
		c.refuse(http.StatusNotFound, "there is no such file", err.Error(), nil)
	case err != nil:
		c.exchange.SetError("the file can't be read")
		c.g.log.Warn("file can't be read", "request", c.id, "route", c.route.Pattern(), "upstream", c.route.Upstream, "error", err)
		c.refuse(http.StatusServiceUnavailable, "the file can't be read now", err.Error(), nil)
	}
}

// patient is a writer that gives the client its time for each piece.
type patient struct {
	http.ResponseWriter
	c *call
}

// Write does not fail: where the client is gone, the call is.
func (p *patient) Write(b []byte) (int, error) {
	p.c.write(b)
	return len(b), nil
}

// ReadFrom copies piece by piece.
func (p *patient) ReadFrom(r io.Reader) (n int64, err error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		k, err := r.Read(buffer[:])
		if k > 0 {
			p.c.write(buffer[:k])
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
