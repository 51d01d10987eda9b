package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
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
	address, err := l.listen("127.0.0.1:0", accept(newUpstream(l, time.Millisecond)))
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
	o, err := parseOptions(append(args, "--warmup", "100ms", "--duration", "300ms", "--begin-within", "500ms"))
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

func TestEveryBodyIsAnswered(t *testing.T) {
	for body := range bodies {
		r := measure(t, "saturate", "--url", serve(t, healthy), "--connections", "2", "--body", body)
		if r.Requests < 100 || len(r.Errors) > 0 {
			t.Errorf("%s: got %+v", body, r)
		}
	}
}

func TestRateKeepsItsRate(t *testing.T) {
	r := measure(t, "rate", "--url", serve(t, healthy), "--rate", "200")
	if len(r.Errors) > 0 || r.PerSecond < 150 || r.PerSecond > 250 {
		t.Errorf("got %+v", r)
	}
}

// The server answers nothing for a while, and what was due then is sent as connections come free, and charged for its wait.
func TestRateWaitsForAFreeConnection(t *testing.T) {
	const pause, most = 300 * time.Millisecond, 3 // until 200 ms after the window opens
	accepted := 0
	url := serve(t, func(u *upstream) func(int) {
		return func(fd int) {
			if accepted++; accepted == 1 {
				time.Sleep(pause)
			}
			u.accept(fd)
		}
	})
	r := measure(t, "rate", "--url", url, "--rate", "1000", "--most-connections", strconv.Itoa(most))
	if len(r.Errors) > 0 || accepted != most || r.Requests < 290 || r.Requests > 310 {
		t.Errorf("got %+v over %d connections", r, accepted)
	}
	if r.Latency.Max < 150 {
		t.Errorf("nobody waited: latencies of %+v ms", *r.Latency)
	}
}

func TestStreamsAreCounted(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, healthy), "--streams", "10", "--chunk-rate", "100")
	s := r.Streams
	if s.Complete != 10 || s.Short != 0 || len(r.Errors) > 0 || s.Chunks < 200 || s.Lag.P50 <= 0 || s.Lag.P50 > 1000 {
		t.Errorf("got %+v %+v", r, s)
	}
}

func TestStreamsKeepThePaceThatTheyAskFor(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, healthy), "--streams", "10", "--chunk-rate", "50")
	if s := r.Streams; s.Complete != 10 || s.PerSecond < 400 || s.PerSecond > 600 {
		t.Errorf("got %+v %+v", r, s)
	}
}

// Streams that are no probes are read in bulk, and checked like the others.
func TestLagIsMeasuredOnProbes(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, healthy), "--streams", "100", "--chunk-rate", "100", "--probe-every", "4")
	s := r.Streams
	if s.Complete != 100 || s.Probes != 25 || s.PerSecond < 9_000 || s.PerSecond > 11_000 || s.Probed < s.Chunks/5 || s.Probed > s.Chunks/3 {
		t.Errorf("got %+v %+v", r, s)
	}
}

// What is the instrument's own is told apart from what the peer adds.
func TestTheUpstreamTellsByHowMuchItWasLate(t *testing.T) {
	stalls := func(u *upstream) func(int) {
		u.loop.onTimer = func() {
			if u.streams > 0 {
				time.Sleep(40 * time.Millisecond)
			}
			u.tick()
		}
		return u.accept
	}
	for name, c := range map[string]struct {
		accept      func(u *upstream) func(int)
		least, most float64
	}{"quick": {healthy, 0, 20}, "slow": {stalls, 20, 1000}} {
		url := serve(t, c.accept)
		address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/v1/chat/completions")
		r := measure(t, "streams", "--url", url, "--upstream", address, "--streams", "10", "--chunk-rate", "100")
		if s := r.Streams; s.Late == nil || s.Late.P99 <= c.least || s.Late.P99 > c.most || s.Turn.P50 <= 0 {
			t.Errorf("%s: got %+v %+v", name, s, s.Late)
		}
	}
}

// tardy holds the third connection's request back until `wait` after the first connection.
func tardy(wait time.Duration) func(u *upstream) func(int) {
	return func(u *upstream) func(int) {
		accepted, first := 0, time.Time{}
		var held *conn
		var request []byte
		u.loop.onTimer = func() {
			if u.tick(); held != nil && time.Since(first) > wait {
				c := held
				held = nil
				s := &session{upstream: u, conn: c}
				c.onData, c.onClose = s.data, s.closed
				s.data(request)
			}
		}
		return func(fd int) {
			if accepted++; accepted == 1 {
				first = time.Now()
			}
			if accepted != 3 {
				u.accept(fd)
				return
			}
			held, _ = u.loop.add(fd)
			held.onData = func(data []byte) { request = append(request, data...) }
		}
	}
}

// Otherwise a peer that leaves some streams waiting would look quick with the others.
func TestTheWindowWaitsForEveryStream(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, tardy(1300*time.Millisecond)), "--streams", "5", "--chunk-rate", "100")
	if s := r.Streams; s.Complete != 5 || s.BegunIn < 1.3 || s.PerSecond < 400 {
		t.Errorf("got %+v %+v", r, s)
	}
}

func TestStreamsThatBeginLateAreFailures(t *testing.T) {
	r := measure(t, "streams", "--url", serve(t, tardy(1800*time.Millisecond)), "--streams", "5", "--chunk-rate", "100")
	if s := r.Streams; s.Complete != 4 || r.Errors["began late"] != 1 || s.BegunIn < 1.5 || s.BegunIn > 1.7 {
		t.Errorf("got %+v %+v", r, s)
	}
}

func TestUnansweredRequestsAndUnfinishedStreamsAreFailures(t *testing.T) {
	silent := func(u *upstream) func(int) {
		return func(fd int) {
			c, _ := u.loop.add(fd)
			c.onData = func([]byte) {}
		}
	}
	url := serve(t, silent)
	r := measure(t, "rate", "--url", url, "--rate", "100", "--patience", "100ms")
	if r.Requests != 0 || r.Errors["unanswered"] < 25 {
		t.Errorf("rate: got %+v", r)
	}
	r = measure(t, "streams", "--url", url, "--streams", "3", "--patience", "100ms")
	if r.Errors["unfinished"] != 3 {
		t.Errorf("streams: got %+v", r)
	}
}

func TestMissingAndRepeatedChunksAreNoticed(t *testing.T) {
	body := func(stamps ...int64) (text []byte) {
		for _, stamp := range stamps {
			text = fmt.Appendf(text, "data: {\"choices\":[{\"delta\":{\"content\":\" @%019d\"}}]}\n\n", stamp)
		}
		return append(text, "data: [DONE]\n\n"...)
	}
	for name, c := range map[string]struct {
		stamps []int64
		broken bool
	}{"whole": {[]int64{10, 20, 30}, false}, "missing": {[]int64{10, 30, 40}, true}, "repeated": {[]int64{10, 20, 20}, true}} {
		text := body(c.stamps...)
		for cut := range text {
			p := &pacing{out: &streamsResult{}, interval: 10, wanted: 3}
			s := &reader{}
			p.take(s, text[:cut])
			p.take(s, text[cut:])
			if s.chunks != 3 || s.broken != c.broken || !s.done {
				t.Fatalf("%s, cut at %d: %+v", name, cut, s)
			}
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for n := range 100_000 {
		h.add(time.Duration(n+1) * time.Microsecond)
	}
	got := h.summarise()
	for _, c := range []struct{ got, want float64 }{{got.P50, 50}, {got.P90, 90}, {got.P99, 99}, {got.Max, 100}} {
		if c.got < c.want*0.98 || c.got > c.want*1.02 {
			t.Errorf("got %+v", got)
		}
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
