package main

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// serve runs an upstream for the length of a test.
func serve(t *testing.T, accept func(u *upstream) func(fd int)) string {
	t.Helper()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	address, err := l.listen("127.0.0.1:0", accept(newUpstream(l, 10*time.Millisecond, time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.run() }()
	t.Cleanup(func() {
		l.stopped.Store(true)
		if c, err := net.Dial("tcp", address.String()); err == nil { // wakes the loop
			defer c.Close()
		}
		<-ended
	})
	return fmt.Sprintf("http://%s/v1/chat/completions", address)
}

func measure(t *testing.T, args ...string) *result {
	t.Helper()
	o, err := parseOptions(append(args, "--warmup", "100ms", "--duration", "300ms"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.run(l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func healthy(u *upstream) func(int) { return u.accept }

func TestSaturate(t *testing.T) {
	r := measure(t, "saturate", "--url", serve(t, healthy), "--connections", "4")
	if r.Requests < 100 || len(r.Errors) > 0 || r.Opened != 4 || r.Latency.P99 <= 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRateKeepsItsRate(t *testing.T) {
	r := measure(t, "rate", "--url", serve(t, healthy), "--rate", "200")
	if len(r.Errors) > 0 || r.PerSecond < 150 || r.PerSecond > 250 {
		t.Errorf("got %+v", r)
	}
}

func TestStreamsAreCounted(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, healthy), "--streams", "10", "--chunk-rate", "100")
	s := r.Streams
	if s.Complete != 10 || s.Short != 0 || len(r.Errors) > 0 || s.Chunks < 200 || s.Lag.P50 <= 0 || s.Lag.P50 > 1000 {
		t.Errorf("got %+v %+v", r, s)
	}
}

// A benchmark that takes failures for answers would praise whoever fails fastest.
func TestFailuresAreNoAnswers(t *testing.T) {
	truncated := func(u *upstream) func(int) {
		return func(fd int) {
			c, _ := u.loop.add(fd)
			c.onData = func([]byte) {
				c.send([]byte("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n"))
				c.close()
			}
		}
	}
	refusing := func(u *upstream) func(int) {
		return func(fd int) {
			c, _ := u.loop.add(fd)
			c.onData = func([]byte) { c.send([]byte("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")) }
		}
	}
	for name, c := range map[string]struct {
		accept func(u *upstream) func(int)
		error  string
	}{"closed": {truncated, "closed"}, "status": {refusing, "status 503"}} {
		url := serve(t, c.accept)
		if r := measure(t, "rate", "--url", url, "--rate", "100"); r.Requests != 0 || r.Errors[c.error] == 0 {
			t.Errorf("%s, rate: got %+v", name, r)
		}
		r := measure(t, "streams", "--url", url, "--streams", "3", "--chunk-rate", "100")
		if r.Streams.Complete != 0 || r.Errors[c.error] != 3 {
			t.Errorf("%s, streams: got %+v %+v", name, r, r.Streams)
		}
	}
}
