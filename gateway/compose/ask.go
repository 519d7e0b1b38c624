package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/config"
)

// ask gets one part. It waits for those whose values the part uses, and sets its result.
func (x *run) ask(ctx context.Context, i int) {
	p, result := &x.c.parts[i], &x.results[i]
	if p.when != "" && x.query.Get(p.when) == "" {
		return
	}
	for _, n := range p.uses {
		<-x.results[n].done
	}
	path, query, err := p.url.expand(x.lookup)
	if err != nil {
		result.missing = x.unasked(p, err)
		return
	}
	result.value, result.missing = x.fetch(ctx, p, path, query)
}

// unasked is a part that can't be asked for want of a good value; nil if the part that
// would have it was not wanted, so that this one is not either.
func (x *run) unasked(p *part, err error) *Missing {
	m := p.missing(NoValue, err)
	var bad *badValue
	if !errors.As(err, &bad) {
		return m
	}
	m.blame = http.StatusBadRequest
	for _, c := range bad.ref.choices {
		if c.source != fromPart {
			continue
		}
		m.blame = 0
		switch before := &x.results[c.part]; {
		case before.missing != nil:
			m = p.missing(Needs, fmt.Errorf("it needs part %q", c.name))
			m.Needs = c.name
			return m
		case before.value == nil:
			return nil
		}
	}
	return m
}

// missing is the part as one that is.
func (p *part) missing(why Reason, err error) *Missing {
	return &Missing{Part: p.name, Reason: why, upstream: p.upstream, detail: err.Error(), err: err}
}

// fetch asks the part's upstream.
func (x *run) fetch(ctx context.Context, p *part, path, query string) ([]byte, *Missing) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, &upstream.Error{
		Upstream: p.upstream, Stage: upstream.Total, Limit: p.timeout, Err: context.DeadlineExceeded,
	})
	defer cancel()
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: x.header(p),
		URL: &url.URL{RawPath: path, RawQuery: query, ForceQuery: p.url.hasQuery},
	}
	r.URL.Path, _ = url.PathUnescape(path) // it was escaped here
	answer, err := x.r.Do(p.upstream, r.WithContext(ctx))
	if err != nil {
		return nil, p.failed(err)
	}
	defer func() { _ = answer.Body.Close() }() // only read from
	return p.judge(answer)
}

// header is what the part gets.
func (x *run) header(p *part) http.Header {
	h := http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {""}}
	for _, name := range p.headers {
		if v, ok := x.r.Client[name]; ok {
			h[name] = v
		}
	}
	for name, v := range x.r.Always {
		h[name] = v
	}
	return h
}

// failed is a part whose exchange has no end.
func (p *part) failed(err error) *Missing {
	var e *upstream.Error
	isOne := errors.As(err, &e)
	m := p.missing(Failed, err)
	switch {
	case isOne && e.Timeout() || errors.Is(err, context.DeadlineExceeded):
		m.Reason = Timeout
	case isOne && (e.Stage == upstream.Dial || e.Stage == upstream.TLS):
		m.Reason = Unreachable
	}
	m.detail = "no answer within the time of the page"
	if isOne {
		m.detail = e.Reason()
	}
	return m
}

// judge makes a value of an answer.
func (p *part) judge(answer *http.Response) ([]byte, *Missing) {
	switch status := answer.StatusCode; {
	case status == http.StatusNoContent || status == http.StatusResetContent:
		return []byte("null"), nil
	case status < 200 || status > 299 || status == http.StatusPartialContent:
		return nil, p.refused(answer)
	}
	media := mediaType(answer.Header)
	if media != "application/json" && !(strings.HasSuffix(media, "+json") && strings.Contains(media, "/")) {
		return nil, p.missing(NotJSON, fmt.Errorf("its Content-Type is %.80q, not JSON", media))
	}
	if coding := answer.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, p.missing(NotJSON, fmt.Errorf("its Content-Encoding is %.80q, which was not asked for", coding))
	}
	if answer.ContentLength > p.maxBytes {
		return nil, p.tooLarge()
	}
	b, err := read(answer, p.maxBytes)
	switch {
	case err != nil:
		return nil, p.failed(err)
	case int64(len(b)) > p.maxBytes:
		return nil, p.tooLarge()
	}
	if err := check(b); err != nil {
		return nil, p.missing(NotJSON, err)
	}
	return bytes.TrimSpace(b), nil
}

func (p *part) tooLarge() *Missing {
	return p.missing(TooLarge, fmt.Errorf("its answer is longer than %v", config.Size(p.maxBytes)))
}

// read reads a body, and a byte more than most if it is longer.
func read(answer *http.Response, most int64) ([]byte, error) {
	var b bytes.Buffer
	if answer.ContentLength > 0 {
		b.Grow(int(answer.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(answer.Body, most+1))
	return b.Bytes(), err
}

// spare is how much of an unwanted body is read so that its connection is kept.
const spare = 4 << 10

// refused is a part whose answer is no success.
func (p *part) refused(answer *http.Response) *Missing {
	status := answer.StatusCode
	m := p.missing(Status, fmt.Errorf("it answers %d", status))
	m.Status = status
	if p.retold(status) {
		m.blame = status
	}
	for _, name := range statusFields {
		if v := answer.Header[name]; m.blame != 0 && len(v) > 0 {
			if m.header == nil {
				m.header = http.Header{}
			}
			m.header[name] = v
		}
	}
	if answer.ContentLength > 0 && answer.ContentLength <= spare {
		_, _ = io.CopyN(io.Discard, answer.Body, spare)
	}
	return m
}
