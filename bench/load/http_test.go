package main

import (
	"strings"
	"testing"
)

func TestResponseHoweverItIsCut(t *testing.T) {
	cases := map[string]struct{ wire, body string }{
		"length":  {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"empty":   {"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", ""},
		"chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nt: u\r\n\r\n", "hello"},
	}
	for name, c := range cases {
		for size := 1; size <= len(c.wire); size++ {
			var r response
			var body strings.Builder
			complete := 0
			for range 2 { // a second response on the same connection
				for rest := c.wire; rest != ""; {
					n := min(size, len(rest))
					done, err := r.feed([]byte(rest[:n]), func(b []byte) { body.Write(b) })
					if err != nil {
						t.Fatalf("%s in pieces of %d: %v", name, size, err)
					}
					if done {
						complete++
					}
					rest = rest[n:]
				}
			}
			if complete != 2 || body.String() != c.body+c.body {
				t.Fatalf("%s in pieces of %d: %d complete, body %q", name, size, complete, body.String())
			}
		}
	}
}

func TestResponseRefusesGarbage(t *testing.T) {
	for _, wire := range []string{
		"SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
	} {
		var r response
		if _, err := r.feed([]byte(wire), func([]byte) {}); err == nil {
			t.Errorf("%q was taken for a response", wire)
		}
	}
}

func TestPercentiles(t *testing.T) {
	samples := make([]int64, 1000)
	for i := range samples {
		samples[999-i] = int64(i) * 1e6
	}
	if p := summarise(samples); p != (percentiles{500, 900, 990, 999}) {
		t.Errorf("got %+v", p)
	}
}
