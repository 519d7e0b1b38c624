// Package problem writes problem documents (RFC 9457): what a client is told when there
// is no answer. The detail is for the client, never the text of an internal error.
package problem

import (
	"encoding/json"
	"net/http"
)

// Document is a problem document.
type Document struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail,omitempty"`
	Instance string         `json:"instance,omitempty"` // the request's id
	More     map[string]any `json:"-"`                  // members of this kind of problem
}

// MarshalJSON writes the members of More beside the others, which they can't replace.
func (d Document) MarshalJSON() ([]byte, error) {
	all := map[string]any{}
	for k, v := range d.More {
		all[k] = v
	}
	if d.Type == "" {
		d.Type = "about:blank"
	}
	if d.Title == "" {
		d.Title = http.StatusText(d.Status)
	}
	all["type"], all["title"], all["status"] = d.Type, d.Title, d.Status
	if d.Detail != "" {
		all["detail"] = d.Detail
	}
	if d.Instance != "" {
		all["instance"] = d.Instance
	}
	return json.Marshal(all)
}

// Write answers with d.
func Write(w http.ResponseWriter, d Document) {
	h := w.Header()
	h.Del("Content-Length") // of an answer that did not come about
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(d.Status)
	_ = json.NewEncoder(w).Encode(d) // fails only when the client is gone
}
