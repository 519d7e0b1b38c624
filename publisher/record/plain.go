package record

// AppendPlain appends the data of a record of TypePlain: {"frames":["…"],"endpoint":"…"}, a
// string for each frame of a foreign message, and where it was heard, unless that is empty.
// Bytes that are not UTF-8 become U+FFFD.
func AppendPlain(dst []byte, endpoint string, frames ...[]byte) []byte {
	dst = append(dst, `{"frames":[`...)
	for i, frame := range frames {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, frame)
	}
	dst = append(dst, ']')
	if endpoint != "" {
		dst = AppendString(append(dst, `,"endpoint":`...), []byte(endpoint))
	}
	return append(dst, '}')
}

// AppendMessage appends the frames of a record of TypePlain with a space between them,
// their escapes resolved; a frame that is no string as it stands. ok is false, and dst
// as it was, if the data have no frames.
func (l *Line) AppendMessage(dst []byte) (out []byte, ok bool) {
	frames := l.frames()
	if frames == nil {
		return dst, false
	}
	for i := spaceEnd(frames, 1); frames[i] != ']'; {
		end := valueEnd(frames, i, MaxDepth)
		if frames[i] == '"' {
			dst = Text(frames[i+1 : end-1]).Append(dst)
		} else {
			dst = append(dst, frames[i:end]...)
		}
		if i = spaceEnd(frames, end); frames[i] == ',' {
			dst = append(dst, ' ')
			i = spaceEnd(frames, i+1)
		}
	}
	return dst, true
}

// frames is the array of the data's member of that name, or nil. The data are valid
// JSON, so that each step below ends before they do.
func (l *Line) frames() []byte {
	b := l.Data
	if !l.Type.Is(TypePlain) || len(b) == 0 || b[0] != '{' {
		return nil
	}
	for i := spaceEnd(b, 1); b[i] != '}'; {
		name := Text(b[i+1 : stringEnd(b, i+1)])
		start := spaceEnd(b, keyEnd(b, i))
		end := valueEnd(b, start, MaxDepth)
		if b[start] == '[' && name.Is("frames") {
			return b[start:end]
		}
		if i = spaceEnd(b, end); b[i] == ',' {
			i = spaceEnd(b, i+1)
		}
	}
	return nil
}
