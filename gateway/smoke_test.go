package gateway

import "testing"

func TestSmoke(t *testing.T) {
	b := rawServer(t, func(_ int, c *peer) {
		for {
			if r, _ := c.readRequest(); r == nil {
				return
			}
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		}
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	a, body := get(t, "http://"+d.addr+"/x?a=1;b=2")
	t.Log(a, body, b.heads())
}
