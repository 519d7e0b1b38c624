package view_test

import (
	"fmt"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/view"
)

func ExampleFormat() {
	run := record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}
	at := time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC)
	line := record.Append(nil, &record.Record{
		ID: record.ID{Run: run, Seq: 1001}, Source: "/downcase", Time: at,
		HTTP: record.HTTP{
			Method: "GET", Path: "/downcase/", Status: 200, Duration: 412 * time.Microsecond, Bytes: 28,
			MediaType: "text/plain", BodyKind: record.BodyText, Body: []byte("lower case of HELLO is hello"),
		},
	})
	gap := view.Gap{Time: at, Run: run, Service: "downcase", First: 1002, Last: 1018, Reason: "journal past its bound"}
	for _, name := range []string{"text", "message", "logfmt", "template={{.Service}} {{.Body}}"} {
		f, err := view.ParseFormat(name, time.UTC)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s%s", f.Append(nil, line), f.AppendGap(nil, gap))
	}
	// Output:
	// 2026-11-22T10:35:12.123456Z downcase 200 GET /downcase/ 0.000412s lower case of HELLO is hello
	// 2026-11-22T10:35:12.123456Z downcase GAP 17 records lost (1002-1018): journal past its bound
	// lower case of HELLO is hello - 2026-11-22 10:35
	// 17 records of downcase lost (1002-1018): journal past its bound - 2026-11-22 10:35
	// time=2026-11-22T10:35:12.123456789Z id=q7k3v9x2m1t8w/19a8f3c2e4b00d17/1001 service=downcase status=200 method=GET path=/downcase/ us=412 bytes=28 type=text/plain body="lower case of HELLO is hello"
	// time=2026-11-22T10:35:12.123456789Z service=downcase gap=17 first=1002 last=1018 stream=q7k3v9x2m1t8w epoch=19a8f3c2e4b00d17 reason="journal past its bound"
	// downcase lower case of HELLO is hello
	// 2026-11-22T10:35:12.123456Z downcase GAP 17 records lost (1002-1018): journal past its bound
}
