package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || text[0] == '+' {
		return 0, fmt.Errorf("want a whole number, got %s", quote(text))
	}
	return n, nil
}

// address checks HOST:PORT, as a listener has it. An empty host is every address.
func address(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port, 0) {
		return fmt.Errorf("want HOST:PORT such as 127.0.0.1:5000 or [::1]:5000, got %s", quote(text))
	}
	return nil
}

// endpoint checks tcp://HOST:PORT, as one connects to it.
func endpoint(text string) error { return checkEndpoint(text, 1) }

// binding checks tcp://HOST:PORT, as a feed binds it: the host may be * for every
// address, the port 0 or * for any that is free.
func binding(text string) error {
	if rest, ok := strings.CutSuffix(text, ":*"); ok {
		text = rest + ":0"
	}
	return checkEndpoint(text, 0)
}

func checkEndpoint(text string, low int) error {
	rest, ok := strings.CutPrefix(text, "tcp://")
	host, port, err := net.SplitHostPort(rest)
	if !ok || err != nil || host == "" || !isPort(port, low) {
		return fmt.Errorf("want tcp://HOST:PORT such as tcp://127.0.0.1:4445, got %s", quote(text))
	}
	return nil
}

// agentURL checks http://HOST:PORT.
func agentURL(text string) error {
	if strings.Contains(text, "@") {
		return errors.New("want http://HOST:PORT without a user") // and the text, which may have a password
	}
	rest, ok := strings.CutPrefix(text, "http://")
	host, port, err := net.SplitHostPort(rest)
	if !ok || err != nil || host == "" || strings.ContainsAny(host, "/?#") || !isPort(port, 1) {
		return fmt.Errorf("want http://HOST:PORT such as http://docker-agent:5002, got %s", quote(text))
	}
	return nil
}

func isPort(text string, low int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= low && n <= 65535 && strconv.Itoa(n) == text
}

func pattern(text string) error {
	_, err := regexp.Compile(text)
	return err
}

func zone(text string) error {
	if _, err := time.LoadLocation(text); err != nil {
		return fmt.Errorf("want a time zone such as Europe/Vienna, UTC or Local, got %s", quote(text))
	}
	return nil
}

// secretOf checks the length of a secret, which the error must not repeat.
func secretOf(least int) func(string) error {
	return func(text string) error {
		if len(text) < least {
			return fmt.Errorf("want at least %d bytes, got %d", least, len(text))
		}
		return nil
	}
}

// name checks what people call a store or a service.
func name(text string) error {
	if !nameForm.MatchString(text) {
		return fmt.Errorf("want a name of at most 63 letters, digits, dots, hyphens and underscores, got %s", quote(text))
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// format checks the name of a line's form; the view has the rest to say.
func format(text string) error {
	known := []string{"text", "message", "json", "logfmt"}
	if slices.Contains(known, text) || strings.HasPrefix(text, "template=") {
		return nil
	}
	if near := Nearest(text, known); near != "" {
		return fmt.Errorf("want text, message, json, logfmt or template=…, got %s; did you mean %q?", quote(text), near)
	}
	return fmt.Errorf("want text, message, json, logfmt or template=…, got %s", quote(text))
}
