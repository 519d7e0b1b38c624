package record_test

import (
	"fmt"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

func Example() {
	line := record.Append(nil, &record.Record{
		ID:     record.ID{Run: record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}, Seq: 1001},
		Source: "/downcase",
		Time:   time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC),
		HTTP: record.HTTP{
			Method: "GET", Path: "/downcase/", Status: 200, Duration: 412 * time.Microsecond, Bytes: 28,
			MediaType: "text/plain", BodyKind: record.BodyText, Body: []byte("lower case of HELLO is hello"),
		},
	})
	fmt.Printf("%s", line)

	l, err := record.Scan(line)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s %d %s\n", l.ID(), l.Service(), l.Status, l.AppendBody(nil))

	frame, ok := record.AppendFrame(nil, line)
	fmt.Printf("%s %t\n", frame, ok)
	// Output:
	// {"specversion":"1.0","id":"q7k3v9x2m1t8w/19a8f3c2e4b00d17/1001","source":"/downcase","type":"earshot.http.v1","time":"2026-11-22T10:35:12.123456789Z","data":{"method":"GET","path":"/downcase/","status":200,"us":412,"bytes":28,"type":"text/plain","body":"lower case of HELLO is hello"}}
	// q7k3v9x2m1t8w/19a8f3c2e4b00d17/1001 downcase 200 lower case of HELLO is hello
	// lower case of HELLO is hello true
}

func ExampleAppendEscaped() {
	fmt.Printf("%s\n", record.AppendEscaped(nil, []byte("one\r\ntwo \x1b[31mred\x1b[0m \u202eabc C:\\x")))
	// Output: one\r\ntwo \x1b[31mred\x1b[0m \u202eabc C:\\x
}
