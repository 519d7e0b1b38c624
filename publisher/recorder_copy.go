package publisher

import (
	"io"
	"sync"
)

// readFrom is ReadFrom: sendfile where nothing has to be looked at.
func (p *response) readFrom(src io.Reader) (n int64, err error) {
	buf := copyPool.Get().(*[copySize]byte)
	defer copyPool.Put(buf)
	for {
		if p.phase == streaming {
			m, done, err := p.sendFile(src)
			if n += m; done || err != nil {
				return n, err
			}
		}
		m, rerr := src.Read(buf[:])
		if m > 0 {
			w, werr := put(p, buf[:m])
			if n += int64(w); werr != nil {
				return n, werr
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

const copySize = 32 << 10

var copyPool = sync.Pool{New: func() any { return new([copySize]byte) }}

// sendFile lets net/http copy what neither the record needs nor is the held back end.
// done: that was all of src.
func (p *response) sendFile(src io.Reader) (n int64, done bool, err error) {
	rf, ok := p.under.(io.ReaderFrom)
	if !ok {
		return 0, false, nil
	}
	if p.plain {
		n, err = rf.ReadFrom(src)
		return n, true, err
	}
	free := p.declared - p.sent.Load() - 1
	if p.declared < 0 || free <= 0 || p.bodyless || p.stream || p.capture > 0 && len(p.borrow().body) < p.capture {
		return 0, false, nil
	}
	// net recognizes a limited file, not one that is limited twice.
	limited := &io.LimitedReader{R: src, N: free}
	outer, ok := src.(*io.LimitedReader)
	if ok {
		limited = &io.LimitedReader{R: outer.R, N: min(outer.N, free)}
	}
	n, err = rf.ReadFrom(limited)
	if ok {
		outer.N -= n
	}
	p.written += n
	p.sent.Add(n)
	return n, false, err
}
