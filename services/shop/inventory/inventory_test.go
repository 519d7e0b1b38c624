package inventory_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop/inventory"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

const turntable = "/inventory/harbour-turntable" // of which there are nine

// reserve asks for so many pieces with a key.
func reserve(s *shoptest.Shop, product, key string, quantity int) (shoptest.Answer, inventory.Reservation) {
	a := s.Ask(http.MethodPost, product+"/reservations", fmt.Sprintf(`{"quantity":%d}`, quantity), "Idempotency-Key", key)
	var r inventory.Reservation
	_ = json.Unmarshal([]byte(a.Body), &r) // a problem document is none, and has a status of its own
	return a, r
}

func level(t *testing.T, s *shoptest.Shop, product string, available, reserved int, state string) {
	t.Helper()
	var l inventory.Level
	s.Get(product, &l)
	if l.Available != available || l.Reserved != reserved || l.State != state {
		t.Errorf("%s is %+v, want %d available, %d reserved, %s", product, l, available, reserved, state)
	}
}

func TestReserve(t *testing.T) {
	s := shoptest.Start(t, inventory.New(), "")
	level(t, s, turntable, 9, 0, "in stock")
	a, r := reserve(s, turntable, "key-0001", 6)
	if a.Status != http.StatusCreated || r.Quantity != 6 || r.State != "held" || a.Header.Get("Location") != turntable+"/reservations/"+string(r.ID) {
		t.Fatalf("6 of 9 = %d %s at %s", a.Status, a.Body, a.Header.Get("Location"))
	}
	level(t, s, turntable, 3, 6, "low")
	if again, _ := reserve(s, turntable, "key-0001", 6); again.Body != a.Body || again.Status != a.Status || again.Header.Get("Location") != a.Header.Get("Location") {
		t.Errorf("the same again = %d %s, want %s", again.Status, again.Body, a.Body)
	}
	if no, _ := reserve(s, turntable, "key-0002", 4); no.Status != http.StatusConflict || !strings.Contains(no.Body, "3 of harbour-turntable are available, 4 were asked for") {
		t.Errorf("4 of 3 = %d %s", no.Status, no.Body)
	}
	if a, _ := reserve(s, turntable, "key-0002", 3); a.Status != http.StatusCreated { // a refusal used no key up
		t.Errorf("3 of 3 = %d %s", a.Status, a.Body)
	}
	level(t, s, turntable, 0, 9, "sold out")

	location := a.Header.Get("Location")
	for range 2 {
		if gone := s.Ask(http.MethodDelete, location, ""); gone.Status != http.StatusNoContent || gone.Body != "" {
			t.Errorf("DELETE = %d %s", gone.Status, gone.Body)
		}
		level(t, s, turntable, 6, 3, "in stock")
	}
	var now inventory.Reservation
	s.Get(location, &now)
	if now.State != "released" || now.ID != r.ID || now.Quantity != 6 {
		t.Errorf("what was released is %+v", now)
	}
	if again, r := reserve(s, turntable, "key-0001", 6); again.Status != http.StatusCreated || r != now {
		t.Errorf("its request again = %d %+v, want %+v and nothing set aside", again.Status, r, now)
	}
	level(t, s, turntable, 6, 3, "in stock")
	level(t, s, "/inventory/aurora-mini", 0, 0, "sold out")
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, inventory.New(), "")
	_, r := reserve(s, turntable, "key-0001", 1)
	one := `{"quantity":1}`
	for name, c := range map[string]struct {
		method, target, body, key string
		status                    int
		detail                    string
	}{
		"unknown product":           {"GET", "/inventory/harbour-turntabel", "", "", 404, `did you mean \"harbour-turntable\"?`},
		"of an unknown product":     {"POST", "/inventory/nothing/reservations", one, "key-0009", 404, "unknown product"},
		"no key":                    {"POST", turntable + "/reservations", one, "", 422, "header.Idempotency-Key"},
		"too short a key":           {"POST", turntable + "/reservations", one, "1234567", 422, "header.Idempotency-Key"},
		"too long a key":            {"POST", turntable + "/reservations", one, strings.Repeat("k", 65), 422, "header.Idempotency-Key"},
		"a key with a space":        {"POST", turntable + "/reservations", one, "key 0009", 422, "header.Idempotency-Key"},
		"a key of another quantity": {"POST", turntable + "/reservations", `{"quantity":2}`, "key-0001", 422, "was used for another request"},
		"a key of another product":  {"POST", "/inventory/camera-x/reservations", one, "key-0001", 422, "was used for another request"},
		"nothing":                   {"POST", turntable + "/reservations", `{"quantity":0}`, "key-0009", 422, "body.quantity"},
		"less than nothing":         {"POST", turntable + "/reservations", `{"quantity":-1}`, "key-0009", 422, "body.quantity"},
		"a half":                    {"POST", turntable + "/reservations", `{"quantity":0.5}`, "key-0009", 422, "body.quantity"},
		"a slip of a name":          {"POST", turntable + "/reservations", `{"quantity":1,"qantity":2}`, "key-0009", 422, "body.qantity"},
		"no body":                   {"POST", turntable + "/reservations", "", "key-0009", 400, "body"},
		"too large a body":          {"POST", turntable + "/reservations", strings.Repeat(" ", 5<<10), "key-0009", 413, "too large"},
		"another method":            {"PUT", turntable, one, "", 405, "PUT is not a method"},
		"no such reservation":       {"GET", turntable + "/reservations/nothing", "", "", 404, "no such reservation"},
		"of another product's":      {"GET", "/inventory/camera-x/reservations/" + string(r.ID), "", "", 404, "no such reservation"},
		"release of another's":      {"DELETE", "/inventory/camera-x/reservations/" + string(r.ID), "", "", 404, "no such reservation"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if c.key != "" {
				header = []string{"Idempotency-Key", c.key}
			}
			s.Refused(c.method, c.target, c.body, c.status, c.detail, header...)
		})
	}
	level(t, s, turntable, 8, 1, "in stock")
}

// TestNoOverselling lets many clients ask two services that share a folder, as an old and
// a new one do during an update, for more than there is; each sends its request to both
// at once. A third service, started afterwards, knows all.
func TestNoOverselling(t *testing.T) {
	const kettle, there, clients = "/inventory/tea-kettle", 20, 48
	dir := t.TempDir()
	shops := []*shoptest.Shop{shoptest.Start(t, inventory.New(), dir), shoptest.Start(t, inventory.New(), dir)}
	level(t, shops[0], kettle, there, 0, "in stock")

	// ask returns where the client's piece is, "" if there was none.
	ask := func(key string) string {
		var answers [2]shoptest.Answer
		var both sync.WaitGroup
		for n, s := range shops {
			both.Go(func() { answers[n], _ = reserve(s, kettle, key, 1) })
		}
		both.Wait()
		location := ""
		for _, a := range answers {
			at := a.Header.Get("Location")
			if a.Status == http.StatusConflict {
				continue
			}
			if a.Status != http.StatusCreated || location != "" && at != location {
				t.Errorf("%s = %d %s at %s, and before at %q", key, a.Status, a.Body, at, location)
			}
			location = at
		}
		var l inventory.Level
		shops[0].Get(kettle, &l)
		if l.Available < 0 || l.Available+l.Reserved != there {
			t.Errorf("there is %+v, want %d together", l, there)
		}
		return location
	}
	held := make([]string, clients)
	together := func(f func(i int)) {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
	}
	check := func(shops []*shoptest.Shop) (sold int) {
		t.Helper()
		places := map[string]bool{}
		for _, location := range held {
			if location != "" {
				sold++
				places[location] = true
			}
		}
		if len(places) != sold || sold > there {
			t.Errorf("%d of %d are sold, in %d reservations", sold, there, len(places))
		}
		for n, s := range shops {
			var l inventory.Level
			s.Get(kettle, &l)
			if l.Reserved != sold || l.Available != there-sold {
				t.Errorf("service %d has %+v, want %d reserved", n, l, sold)
			}
		}
		return sold
	}

	together(func(i int) { held[i] = ask(fmt.Sprintf("client-%d", i)) })
	if sold := check(shops); sold != there {
		t.Errorf("%d are sold, want all %d", sold, there)
	}
	// Who has a piece puts it back, while those who have none ask again.
	together(func(i int) {
		if held[i] == "" {
			held[i] = ask(fmt.Sprintf("another-%d", i))
			return
		}
		if gone := shops[i%2].Ask(http.MethodDelete, held[i], ""); gone.Status != http.StatusNoContent {
			t.Errorf("DELETE = %d %s", gone.Status, gone.Body)
		}
		held[i] = ""
	})
	check(append(shops, shoptest.Start(t, inventory.New(), dir)))
}

// TestRestart sees that what was set aside stays so, and its key known.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first, r := reserve(shoptest.Start(t, inventory.New(), dir), turntable, "key-0001", 2)
	if first.Status != http.StatusCreated {
		t.Fatalf("POST = %d %s", first.Status, first.Body)
	}
	f, err := os.OpenFile(filepath.Join(dir, "reservations.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"key":"key-0002","reserve":{"id":"torn","prod`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s := shoptest.Start(t, inventory.New(), dir)
	level(t, s, turntable, 7, 2, "in stock")
	if again, _ := reserve(s, turntable, "key-0001", 2); again.Body != first.Body {
		t.Errorf("the same again = %d %s, want %s", again.Status, again.Body, first.Body)
	}
	if a := s.Ask(http.MethodDelete, turntable+"/reservations/"+string(r.ID), ""); a.Status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s", a.Status, a.Body)
	}
	level(t, shoptest.Start(t, inventory.New(), dir), turntable, 9, 0, "in stock")
}

// TestFull sees that what can't be kept is refused, and what was said before stays so.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	shoptest.Fill(t, filepath.Join(dir, "reservations.jsonl"),
		`{"key":"key-0001","reserve":{"id":"r","product":"harbour-turntable","quantity":2,"at":"2026-11-23T10:35:12Z","state":"held"}}`)
	s := shoptest.Start(t, inventory.New(), dir)
	s.Refused(http.MethodPost, turntable+"/reservations", `{"quantity":1}`, 507, "no more reservations can be kept", "Idempotency-Key", "key-0002")
	s.Refused(http.MethodDelete, turntable+"/reservations/r", "", 507, "no more reservations can be kept")
	if a, r := reserve(s, turntable, "key-0001", 2); a.Status != http.StatusCreated || r.ID != "r" {
		t.Errorf("what was kept is %d %s", a.Status, a.Body)
	}
	level(t, s, turntable, 7, 2, "in stock")
}

// TestUnreadable sees that a service which can't know its stock does not start.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "reservations.jsonl"), []byte("?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := inventory.New().Handler(services.HandlerOptions{Data: dir})
	if err == nil || !strings.Contains(err.Error(), "reservations.jsonl: the line at byte 0 can't be read") {
		t.Errorf("Handler() = %v", err)
	}
}
