package main

import "testing"

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://[::]:4445":      "tcp://127.0.0.1:4445",
		"tcp://0.0.0.0:4445":   "tcp://127.0.0.1:4445",
		"tcp://127.0.0.1:4445": "tcp://127.0.0.1:4445",
		"tcp://[::1]:4445":     "tcp://[::1]:4445",
		"tcp://192.0.2.7:4445": "tcp://192.0.2.7:4445",
	} {
		if got := reachable(in); got != want {
			t.Errorf("reachable(%s) = %s, want %s", in, got, want)
		}
	}
}
