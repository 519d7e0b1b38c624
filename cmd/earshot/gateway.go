package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/earshot-mq/earshot/publisher"
)

// gateway adds the clients' door.
func (p *program) gateway(pub *publisher.Publisher, upstreams map[string]string) (at string, err error) {
	rec, err := p.recorder(pub, "gateway", !p.s.Bool("record.expose"), nil)
	if err != nil {
		return "", err
	}
	u, _ := url.Parse(upstreams["downcase"])
	rp := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		ModifyResponse: func(r *http.Response) error {
			if r.Header.Get("Earshot-Record") != "" {
				publisher.FromContext(r.Request.Context()).PassOn()
			}
			return nil
		},
	}
	return p.serve("gateway", p.s.Listen("http.listen", "port"), "--port", rec, rp)
}
