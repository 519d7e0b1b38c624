package record

import (
	"testing"
	"time"
)

// downcase is the record of GET /downcase/?param=HELLO, as a service writes it.
func downcase() *Record {
	return &Record{
		ID:      ID{Run{"q7k3v9x2m1t8w", 0x19a8f3c2e4b00d17}, 1001},
		Source:  "/downcase",
		Time:    time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC),
		Subject: "/downcase/",
		HTTP: HTTP{
			Method: "GET", Path: "/downcase/", Query: "param=HELLO", Status: 200, Duration: 412 * time.Microsecond,
			Client: "192.0.2.7", Request: "01JDA8Q5V3W7XKZ2M4N6P8R9ST", Bytes: 28, MediaType: "text/plain",
			Body: []byte("lower case of HELLO is hello"), BodyKind: BodyText,
		},
	}
}

func BenchmarkAppendTail(b *testing.B) {
	r := downcase()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendTail(buf[:0], r)
	}
}

func BenchmarkScan(b *testing.B) {
	line := Append(nil, downcase())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	line := Append(nil, downcase())
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendFrame(buf[:0], line)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	line := Append(nil, downcase())
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendJSON(buf[:0], line)
	}
}
