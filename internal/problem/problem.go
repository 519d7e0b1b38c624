// Package problem writes problem documents (RFC 9457): what a client is told when there
// is no answer. The detail is for the client: what is wrong with the request, or what
// the client can do; never the text of an internal error.
package problem

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
)

// Document is a problem document.
type Document struct {
	Type     string         // a URI of this kind of problem; default about:blank
	Title    string         // the same for all problems of this kind; default the status in words
	Status   int            // from 400 to 599; anything else is written as 500
	Detail   string         // what is wrong this time
	Instance string         // the request's id
	More     map[string]any // members of this kind of problem; they can't replace the others
}

// status is one that an answer can have.
func (d Document) status() int {
	if d.Status < 400 || d.Status > 599 {
		return http.StatusInternalServerError
	}
	return d.Status
}

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	all := maps.Clone(d.More)
	if all == nil {
		all = map[string]any{}
	}
	for _, member := range []string{"type", "title", "status", "detail", "instance"} {
		delete(all, member)
	}
	all["type"], all["title"], all["status"] = d.Type, d.Title, d.status()
	if d.Type == "" {
		all["type"] = "about:blank"
	}
	if d.Title == "" {
		all["title"] = http.StatusText(d.status())
	}
	if d.Detail != "" {
		all["detail"] = d.Detail
	}
	if d.Instance != "" {
		all["instance"] = d.Instance
	}
	return encode(all)
}

// encode leaves <, > and & as they are: people read this.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// Write answers with d. What was set for an answer that did not come about, its length,
// coding and validators, is taken back; other header fields stay. Members of More that
// can't be written are left out.
func Write(w http.ResponseWriter, d Document) {
	body, err := encode(d)
	if err != nil {
		d.More = nil
		body, _ = encode(d) // texts and a number
	}
	h := w.Header()
	for _, field := range []string{"Content-Length", "Content-Encoding", "Content-Range", "Etag", "Last-Modified"} {
		h.Del(field)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(d.status())
	_, _ = w.Write(body) // fails only when the client is gone
}
