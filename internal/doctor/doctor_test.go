package doctor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

func TestReport(t *testing.T) {
	checks := []Finding{
		{Check: "libzmq", Status: OK, Found: "4.3.5", Facts: map[string]any{"version": "4.3.5"}},
		{Check: "feed.record", Status: Fails, Found: "taken by \x1b[2Jevil\u202e", Fix: "stop it"},
		{Check: "dns", Status: Note, Found: "none"},
	}
	r := NewReport("dev", "up", checks)
	var text, colour, doc bytes.Buffer
	if err := errors.Join(r.Text(&text, false), r.Text(&colour, true), r.JSON(&doc)); err != nil {
		t.Fatal(err)
	}
	want := "ok     libzmq       4.3.5\n" +
		"fails  feed.record  taken by \\x1b[2Jevil\\u202e; fix: stop it\n" +
		"note   dns          none\n" +
		"\n1 ok, 1 to note, 1 to fix\n"
	if text.String() != want {
		t.Errorf("Text = %q, want %q", &text, want)
	}
	plain := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(colour.String())
	if plain != want || plain == colour.String() {
		t.Errorf("Text in colours = %q", &colour)
	}
	const json = `{
  "v": 1,
  "status": "fails",
  "version": "dev",
  "role": "up",
  "checks": [
    {
      "check": "libzmq",
      "status": "ok",
      "found": "4.3.5",
      "facts": {
        "version": "4.3.5"
      }
    },
    {
      "check": "feed.record",
      "status": "fails",
      "found": "taken by \u001b[2Jevil` + "\u202e" + `",
      "fix": "stop it"
    },
    {
      "check": "dns",
      "status": "note",
      "found": "none"
    }
  ]
}
`
	if doc.String() != json {
		t.Errorf("JSON = %s, want %s", &doc, json)
	}
	if s := NewReport("", "", checks[2:]).Status; s != Note {
		t.Errorf("the worst is %s, want note", s)
	}
}

func TestPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for name, c := range map[string]struct {
		addr, running string
		status        Status
		found, fix    string
	}{
		"none":               {"", "", OK, "none", ""},
		"any":                {"tcp://*:0", "", OK, "any port", ""},
		"any, as libzmq":     {"tcp://127.0.0.1:*", "", OK, "any port", ""},
		"taken":              {"tcp://" + addr, "", Fails, "is taken by doctor.test (pid ", "stop that, or choose another with --feed-record"},
		"taken by another":   {addr, "127.0.0.1:1", Fails, "is taken by doctor.test", "stop that"},
		"Earshot itself":     {addr, addr, OK, "an Earshot answers there", ""},
		"every address":      {"tcp://*:" + port, "", Fails, "is taken", "--feed-record"},
		"not of the machine": {"tcp://192.0.2.77:4445", "", Fails, "can't be bound", "an address of this machine"},
		"a name":             {"tcp://no-such-name.invalid:4445", "", Note, "can't be bound", ""},
	} {
		f := Port("feed.record", "--feed-record", c.addr, c.running)
		if f.Check != "feed.record" || f.Status != c.status || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Fix, c.fix) || (f.Fix == "") != (c.fix == "") {
			t.Errorf("%s: %+v, want %+v", name, f, c)
		}
	}
	l.Close()
	if f := Port("feed.record", "", "tcp://"+addr, ""); f.Status != OK || f.Facts["free"] != true {
		t.Errorf("a port that is free: %+v", f)
	}
}

func TestTaken(t *testing.T) {
	for name, c := range map[string]struct {
		owner, running string
		status         Status
	}{
		"Earshot":                       {"earshot (pid 1)", "", OK},
		"somebody":                      {"nginx (pid 1)", "", Fails},
		"somebody beside Earshot":       {"nginx (pid 1)", "127.0.0.1:5001", Fails},
		"nobody knows":                  {"", "", Fails},
		"nobody knows, Earshot answers": {"", "127.0.0.1:5001", Note},
		"Docker, Earshot answers":       {"docker-proxy (pid 1)", "127.0.0.1:5001", Note},
		"Docker":                        {"docker-proxy (pid 1)", "", Fails},
	} {
		f := Finding{Status: OK, Facts: map[string]any{}}
		f.taken("127.0.0.1:4445", c.owner, "--feed-record", c.running)
		if f.Status != c.status {
			t.Errorf("%s: %+v, want %s", name, f, c.status)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		status Status
		found  string
	}{
		dir:                               {OK, "can be written"},
		filepath.Join(dir, "new", "data"): {OK, "will be made"},
		file:                              {Fails, "not a directory"},
		filepath.Join(file, "data"):       {Fails, "not a directory"},
	} {
		if f := Folder(path); f.Status != want.status || !strings.Contains(f.Found, want.found) || (f.Fix == "") != (want.status == OK) {
			t.Errorf("%s: %+v, want %+v", path, f, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder was changed: %v %v", entries, err)
	}
	if f := Disk(filepath.Join(dir, "new", "data")); f.Facts["size_bytes"].(int64) <= 0 || f.Facts["free_bytes"].(int64) > f.Facts["size_bytes"].(int64) {
		t.Errorf("Disk: %+v", f)
	}
	if f := Disk("/proc"); runtime.GOOS == "linux" && f.Status != Fails {
		t.Errorf("Disk of /proc: %+v", f)
	}
}

func TestFullDisk(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 40)
	if f := Disk(d.Path); f.Status != OK {
		t.Errorf("an empty disk: %+v", f)
	}
	d.Fill(1 << 20)
	if f := Disk(d.Path); f.Status != Fails || !strings.Contains(f.Found, "less than a twentieth") || f.Fix == "" {
		t.Errorf("1 of 40 MiB free: %+v", f)
	}
}

func TestFiles(t *testing.T) {
	for limit, want := range map[uint64]Status{64: Fails, 1023: Fails, 1024: Note, 8192: OK, 1<<64 - 1: OK} {
		if f := files(limit); f.Status != want || (f.Fix == "") != (want == OK) {
			t.Errorf("files(%d) = %+v, want %s", limit, f, want)
		}
	}
	if f := Files(); f.Facts["limit"].(uint64) == 0 {
		t.Errorf("Files: %+v", f)
	}
}

func TestClock(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		newest time.Time
		status Status
		found  string
	}{
		"no record": {time.Time{}, OK, "no record to compare"},
		"behind":    {now.Add(3 * time.Hour), Fails, "3 hours before the newest record"},
		"just now":  {now.Add(time.Millisecond), OK, "after the newest record"},
		"after":     {now.Add(-time.Hour), OK, "after the newest record"},
	} {
		if f := Clock(now, c.newest); f.Status != c.status || !strings.Contains(f.Found, c.found) {
			t.Errorf("%s: %+v, want %+v", name, f, c)
		}
	}
	if f := synchronised(false, 0); f.Status != Note || f.Fix == "" {
		t.Errorf("not synchronised: %+v", f)
	}
	if f := synchronised(true, 1500*time.Microsecond); f.Status != OK || f.Facts["error_microseconds"] != int64(1500) {
		t.Errorf("synchronised: %+v", f)
	}
}

// fill writes a log with n records, the first of them as old as age.
func fill(t *testing.T, dir string, o journal.Options, n int, age time.Duration) (bytes int64) {
	t.Helper()
	claim, err := journal.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := journal.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	run := record.Run{Stream: journal.NewID(), Epoch: log.Epoch()}
	for i := range n {
		r := record.Record{ID: record.ID{Run: run, Seq: uint64(i + 1)}, Source: "/downcase", Type: record.TypePlain, Time: time.Now().Add(-age), Data: []byte("1")}
		line := record.Append(nil, &r)
		raw := journal.AppendBatch(nil, run, uint64(i+1), 1, line)
		e := journal.Entry{Kind: journal.KindBatch, Run: run, First: uint64(i + 1), Last: uint64(i + 1), Lines: raw[len(raw)-len(line):], Raw: raw}
		if _, err := log.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	bytes = log.Bytes()
	if err := errors.Join(log.Close(), claim.Release()); err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestJournals(t *testing.T) {
	data, now := t.TempDir(), time.Now()
	if f, newest := Journals(data, 0, nil, now); f.Status != OK || !strings.Contains(f.Found, "no traffic yet") || !newest.IsZero() {
		t.Errorf("no journal: %+v", f)
	}
	fill(t, filepath.Join(data, "journals", "gateway", journal.NewID()), journal.Options{}, 0, 0)
	if f, _ := Journals(data, 0, nil, now); f.Status != OK || !strings.Contains(f.Found, "no traffic yet") {
		t.Errorf("no record: %+v", f)
	}
	bytes := fill(t, filepath.Join(data, "journals", "downcase", journal.NewID()), journal.Options{SegmentBytes: 2000}, 100, 2*time.Hour)
	now = time.Now()
	f, newest := Journals(data, 100*bytes, nil, now)
	if f.Status != OK || f.Facts["bytes"] != bytes || f.Facts["logs"] != 2 || now.Sub(newest).Abs() > time.Minute {
		t.Errorf("two journals: %+v, newest %s", f, newest)
	}
	// bytes in two hours, so 100 times that last for 200
	if lasts := f.Facts["lasts_seconds"].(int64); lasts < 199*3600 || lasts > 201*3600 || !strings.Contains(f.Found, "in the last 2 hours: full in 8 days") {
		t.Errorf("it lasts %d s, want 200 hours: %s", lasts, f.Found)
	}
	if f, _ := Journals(data, bytes/4-10, nil, now); f.Status != Note || !strings.Contains(f.Found, "full in 29 minutes") || !strings.Contains(f.Fix, "--journal-max-bytes") {
		t.Errorf("a bound that is too low: %+v", f)
	}
	f, _ = Journals(data, 0, nil, now.Add(48*time.Hour))
	if !strings.Contains(f.Found, "no traffic today") {
		t.Errorf("two days later: %+v", f)
	}
	f, _ = Journals(data, 0, &Running{Bytes: 5, Bound: 3600 * 1000, Written: 60 * 1000, Up: time.Minute}, now)
	if !strings.Contains(f.Found, "in the last 60 seconds: full in 60 minutes") || f.Facts["bytes"] != bytes {
		t.Errorf("a running process: %+v", f)
	}
	if f, _ := Journals(t.TempDir(), 0, &Running{Bytes: 5, Bound: 1 << 20}, now); !strings.Contains(f.Found, "5 bytes in 1 journal of at most 1.0 MiB; no traffic today") {
		t.Errorf("a running process elsewhere: %+v", f)
	}
	if f, _ := Store(data, 0, now); f.Status != OK || !strings.Contains(f.Found, "none yet") {
		t.Errorf("no store: %+v", f)
	}
	bytes = fill(t, filepath.Join(data, "store"), journal.Options{Arrivals: true}, 10, 0)
	if f, _ := Store(data, 0, time.Now()); f.Status != OK || f.Facts["bytes"] != bytes || !strings.Contains(f.Found, "bring") {
		t.Errorf("a store: %+v", f)
	}
}

// TestJournalOfALaterVersion is refused by name.
func TestJournalOfALaterVersion(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "journals", "downcase", journal.NewID())
	line := `{"cursors":{"v":2,"n":1,"runs":[],"crc32c":"00000000"}}` + "\n"
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "19a8f3c2e4b00d17-000001.open"), []byte(line), 0o600)); err != nil {
		t.Fatal(err)
	}
	if f, _ := Journals(data, 0, nil, time.Now()); f.Status != Fails || !strings.Contains(f.Fix, "later version") {
		t.Errorf("%+v", f)
	}
}

// native is an IPv4 address as this machine's /proc/net/route has it.
func native(addr string) string {
	b := netip.MustParseAddr(addr).As4()
	return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
}

func TestRoutes(t *testing.T) {
	four := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"wlan0\t00000000\t" + native("192.0.2.254") + "\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
		"eth0\t00000000\t" + native("192.0.2.1") + "\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"tun0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0\n" +
		"down0\t00000000\t" + native("192.0.2.3") + "\t0002\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"half0\t00000000\t" + native("192.0.2.4") + "\t0003\t0\t0\t0\t" + native("128.0.0.0") + "\t0\t0\t0\n" +
		"eth0\t" + native("192.0.2.0") + "\t00000000\t0001\t0\t0\t0\t" + native("255.255.255.0") + "\t0\t0\t0\n" +
		"short\n"
	const zero = "00000000000000000000000000000000"
	six := "fd000000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000003 00000000 00000001     eth0\n" +
		zero + " 00 " + zero + " 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n" +
		zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n"
	if got, want := texts(routes4(strings.NewReader(four))), []string{"192.0.2.1 (eth0)", "192.0.2.254 (wlan0)", "tun0"}; !slices.Equal(got, want) {
		t.Errorf("routes4 = %v, want %v", got, want)
	}
	if got, want := texts(routes6(strings.NewReader(six))), []string{"fd00::1 (eth0)"}; !slices.Equal(got, want) {
		t.Errorf("routes6 = %v, want %v", got, want)
	}
	for want, f := range map[string]Finding{
		"IPv4 192.0.2.1 (eth0), IPv6 fd00::1 (eth0)": gateways(routes4(strings.NewReader(four))[:1], routes6(strings.NewReader(six))),
		"IPv6 none (IPv6 only within":                gateways(routes4(strings.NewReader(four)), nil),
		"IPv4 none, IPv6 fd00::1":                    gateways(nil, routes6(strings.NewReader(six))),
	} {
		if f.Status != OK || !strings.Contains(f.Found, want) {
			t.Errorf("%+v, want %q", f, want)
		}
	}
	if f := gateways(nil, nil); f.Status != Note || !reflect.DeepEqual(f.Facts, map[string]any{"ipv4": []string{}, "ipv6": []string{}}) {
		t.Errorf("no gateway: %+v", f)
	}
}

func TestNameservers(t *testing.T) {
	const text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver nonsense\noptions edns0\n"
	all := nameservers(strings.NewReader(text))
	if got, want := texts(all), []string{"127.0.0.53", "fe80::1%eth0"}; !slices.Equal(got, want) {
		t.Errorf("nameservers = %v, want %v", got, want)
	}
	if f := servers(all[:1], []netip.Addr{netip.MustParseAddr("192.0.2.53")}); f.Status != OK || f.Found != "servers: 127.0.0.53, which asks 192.0.2.53" {
		t.Errorf("%+v", f)
	}
	if f := servers(nil, nil); f.Status != Note {
		t.Errorf("no server: %+v", f)
	}
}

// FuzzNetwork: whatever the files have, a route names an address of its family or none.
func FuzzNetwork(f *testing.F) {
	f.Add("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	f.Add("00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n")
	f.Add("nameserver ::1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range routes4(strings.NewReader(text)) {
			if r.device == "" || r.via.IsValid() && !r.via.Is4() {
				t.Errorf("%q: %v", text, r)
			}
		}
		for _, r := range routes6(strings.NewReader(text)) {
			if r.device == "" || r.via.IsValid() && !r.via.Is6() {
				t.Errorf("%q: %v", text, r)
			}
		}
		for _, a := range nameservers(strings.NewReader(text)) {
			if !a.IsValid() {
				t.Errorf("%q: %v", text, a)
			}
		}
	})
}
