package publisher

import (
	"strings"

	"github.com/earshot-mq/earshot/publisher/record"
)

const (
	eventStream = "text/event-stream"
	formType    = "application/x-www-form-urlencoded"
)

// mediaType is the media type of a Content-Type, in lower case and without parameters.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// kindOf says how a body of this type stands in a record: JSON as JSON, text as text,
// all else not at all.
func kindOf(media string) record.BodyKind {
	switch {
	case isJSON(media):
		return record.BodyJSON
	case strings.HasPrefix(media, "text/"), strings.HasSuffix(media, "+xml"):
		return record.BodyText
	}
	switch media {
	case "application/xml", "application/javascript", formType:
		return record.BodyText
	}
	return record.BodyNone
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json") && strings.Contains(media, "/")
}
