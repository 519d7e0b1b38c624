package record

import "bytes"

// member is a member that Scan knows. Each object's stand together, in the order in
// which Append writes them.
type member uint8

const (
	memberSpecversion member = iota
	memberID
	memberSource
	memberType
	memberTime
	memberSubject
	memberTraceparent
	memberSampledRate
	memberData
	endOfEnvelope
)

const (
	memberMethod member = endOfEnvelope + iota
	memberPath
	memberQuery
	memberStatus
	memberMicros
	memberClient
	memberRequest
	memberBytes
	memberMediaType
	memberBody
	memberTruncated
	memberAborted
	memberOpen
	memberUpstream
	memberError
	endOfExchange

	unknown // a member of another version
	none    // no further member
)

// leads are the names as Append writes them, quotes and colon included.
var leads = [...]string{
	memberSpecversion: `"specversion":`, memberID: `"id":`, memberSource: `"source":`, memberType: `"type":`,
	memberTime: `"time":`, memberSubject: `"subject":`, memberTraceparent: `"traceparent":`,
	memberSampledRate: `"sampledrate":`, memberData: `"data":`,

	memberMethod: `"method":`, memberPath: `"path":`, memberQuery: `"query":`, memberStatus: `"status":`,
	memberMicros: `"us":`, memberClient: `"client":`, memberRequest: `"request":`, memberBytes: `"bytes":`,
	memberMediaType: `"type":`, memberBody: `"body":`, memberTruncated: `"truncated":`, memberAborted: `"aborted":`,
	memberOpen: `"open":`, memberUpstream: `"upstream":`, memberError: `"error":`,
}

// envelope reads the attributes of the event, and its data.
func (s *scanner) envelope(l *Line) {
	if !s.open(memberSpecversion, "not an object") {
		return
	}
	var version, id Text
	dataAt := 0 // where data begins that came before the type, and so was skipped
	for m := s.next(endOfEnvelope); m != none; m = s.next(endOfEnvelope) {
		switch m {
		case memberSpecversion:
			version = s.text()
		case memberID:
			id = s.text()
		case memberSource:
			l.Source = s.text()
		case memberType:
			l.Type = s.text()
			l.IsHTTP = l.Type.Is(TypeHTTP)
		case memberTime:
			l.Stamp = s.text()
		case memberSubject:
			l.Subject = s.text()
		case memberTraceparent:
			l.Traceparent = s.text()
		case memberSampledRate:
			l.SampledRate = int(s.integer())
		case memberData:
			start := s.i
			if l.IsHTTP {
				s.exchange(l)
				s.like, s.lead = endOfEnvelope, ','
			} else {
				s.skip(MaxDepth + 1)
				dataAt = start
			}
			if s.bad == "" {
				l.Data = s.b[start:s.i]
			}
		default:
			s.skip(MaxDepth + 1)
		}
	}
	s.identify(l, version, id)
	if end := s.i; l.IsHTTP && dataAt > 0 && s.bad == "" {
		s.i = dataAt
		if s.exchange(l); s.bad == "" {
			s.i = end
		}
	}
}

// identify judges the attributes that every record has.
func (s *scanner) identify(l *Line, version, id Text) {
	if s.bad != "" {
		return
	}
	s.check(version.Is("1.0"), `specversion is not "1.0"`)
	s.check(len(l.Source) > 0, "no source")
	s.check(len(l.Type) > 0, "no type")
	s.check(!l.IsHTTP || l.Data != nil, "an exchange without data")
	var ok bool
	if l.Stream, l.Epoch, l.Seq, ok = splitID(id); !ok && len(id) <= maxEscape*(maxHead-len(prefix)) {
		l.Stream, l.Epoch, l.Seq, ok = splitID([]byte(id.String())) // perhaps with escapes
	}
	s.check(ok, "id is not stream/epoch/sequence")
	if bytes.IndexByte(l.Stamp, '\\') >= 0 {
		l.Stamp = Text(l.Stamp.String())
	}
	l.Time, ok = ParseTime(l.Stamp)
	s.check(ok, "time is not RFC 3339")
}

// exchange reads the data of a record of TypeHTTP.
func (s *scanner) exchange(l *Line) {
	if !s.open(memberMethod, "data is not an object") {
		return
	}
	for m := s.next(endOfExchange); m != none; m = s.next(endOfExchange) {
		switch m {
		case memberMethod:
			l.Method = s.text()
		case memberPath:
			l.Path = s.text()
		case memberQuery:
			l.Query = s.text()
		case memberStatus:
			l.Status = int(s.integer())
		case memberMicros:
			l.Micros = s.integer()
		case memberClient:
			l.Client = s.text()
		case memberRequest:
			l.Request = s.text()
		case memberBytes:
			l.Bytes = s.integer()
		case memberMediaType:
			l.MediaType = s.text()
		case memberBody:
			l.Body = s.skip(MaxDepth)
		case memberTruncated:
			l.Truncated = s.flag()
		case memberAborted:
			l.Aborted = s.flag()
		case memberOpen:
			l.Open = s.flag()
		case memberUpstream:
			l.Upstream = s.text()
		case memberError:
			l.Error = s.text()
		default:
			s.skip(MaxDepth)
		}
	}
}
