package main

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

// upstream answers like a model server. A request with "stream": true gets max_tokens chunks, each a write of its own,
// at the fixed pace; any other gets a JSON body of about 1 KB at once. Each chunk carries the time at which it was due
// (Unix, ns, after an @ inside the content), so that whoever reads it knows its lag, including what piled up here.
type upstream struct {
	loop     *loop
	interval time.Duration
	quantum  time.Duration
	plain    []byte
	due      streams
	phase    float64 // of the next stream, in intervals

	Requests int64 `json:"requests"`
	Streams  int64 `json:"streams"`
	Chunks   int64 `json:"chunks"`
	Blocked  int64 `json:"blocked"` // chunks that found the previous one still unsent: the peer does not keep up
	Aborted  int64 `json:"aborted"` // streams whose client left before the end
	late     []int64
}

type stream struct {
	conn    *conn
	next    time.Time
	left    int
	usage   bool
	index   int // in the heap
	session *session
}

type streams []*stream

func (s streams) Len() int           { return len(s) }
func (s streams) Less(i, j int) bool { return s[i].next.Before(s[j].next) }
func (s streams) Swap(i, j int)      { s[i], s[j] = s[j], s[i]; s[i].index, s[j].index = i, j }
func (s *streams) Push(x any)        { st := x.(*stream); st.index = len(*s); *s = append(*s, st) }
func (s *streams) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	last.index = -1
	return last
}

const maxSamples = 1 << 22 // of lateness, between two readings of the statistics

const (
	chunkHead  = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{`
	chunkTail  = `},"finish_reason":null}]}` + "\n\n"
	lastEvents = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usageEvent = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}}` + "\n\n"
	streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)

func upstreamCommand(args []string) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "HOST:PORT; port 0 is any free one")
	interval := flags.Duration("chunk-interval", 10*time.Millisecond, "time between the chunks of a stream")
	quantum := flags.Duration("quantum", 500*time.Microsecond, "chunks are due at multiples of this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := newLoop()
	if err != nil {
		return err
	}
	u := newUpstream(l, *interval, *quantum)
	address, err := l.listen(*listen, u.accept)
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d,\"pid\":%d}\n", address.Port, os.Getpid())
	return l.run()
}

func newUpstream(l *loop, interval, quantum time.Duration) *upstream {
	content := string(bytes.Repeat([]byte("The model of the house answers. "), 24))
	body := fmt.Sprintf(`{"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion","created":1790000000,"model":"bench",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":9,"completion_tokens":168,"total_tokens":177}}`, content)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", len(body))
	u := &upstream{loop: l, interval: interval, quantum: quantum, plain: []byte(head + body)}
	l.onTimer = u.tick
	return u
}

// session is one connection of a client: at most one request at a time.
type session struct {
	upstream *upstream
	conn     *conn
	partial  []byte
	stream   *stream
}

func (u *upstream) accept(fd int) {
	c, err := u.loop.add(fd)
	if err != nil {
		return
	}
	s := &session{upstream: u, conn: c}
	c.onData = s.data
	c.onClose = s.closed
}

func (s *session) closed(error) {
	if s.stream != nil {
		heap.Remove(&s.upstream.due, s.stream.index)
		s.upstream.Aborted++
		s.stream = nil
	}
}

func (s *session) data(data []byte) {
	if len(s.partial) > 0 {
		data = append(s.partial, data...)
	}
	for len(data) > 0 && s.stream == nil && !s.conn.closed {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			break
		}
		head := data[:end]
		length := 0
		if value := header(head, "content-length"); value != nil {
			length, _ = strconv.Atoi(string(value))
		} else if header(head, "transfer-encoding") != nil {
			body, rest, complete := chunkedBody(data[end+4:])
			if !complete {
				break
			}
			s.request(head, body)
			data = rest
			continue
		}
		if len(data) < end+4+length {
			break
		}
		s.request(head, data[end+4:end+4+length])
		data = data[end+4+length:]
	}
	s.partial = append(s.partial[:0:0], data...)
}

// chunkedBody is for peers that re-frame the request; rare, so it starts anew with each read.
func chunkedBody(data []byte) (body, rest []byte, complete bool) {
	r := response{inBody: true, chunked: true}
	for i := range data {
		done, err := r.feed(data[i:i+1], func(b []byte) { body = append(body, b...) })
		if done || err != nil {
			return body, data[i+1:], true
		}
	}
	return nil, nil, false
}

func (s *session) request(head, body []byte) {
	u := s.upstream
	if bytes.HasPrefix(head, []byte("GET ")) {
		s.get(head)
		return
	}
	u.Requests++
	var asked struct {
		Stream        bool `json:"stream"`
		MaxTokens     int  `json:"max_tokens"`
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if !bytes.Contains(body, []byte(`"stream"`)) { // spares the parser where requests/s are measured
		s.conn.send(u.plain)
		return
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		s.conn.send([]byte("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"))
		return
	}
	if !asked.Stream {
		s.conn.send(u.plain)
		return
	}
	u.begin(s, max(asked.MaxTokens, 1), asked.StreamOptions.IncludeUsage)
}

func (s *session) get(head []byte) {
	body := []byte(`{"status":"ok"}`)
	if bytes.Contains(head, []byte("/v1/models")) {
		body = []byte(`{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench"}]}`)
	} else if bytes.HasPrefix(head, []byte("GET /-/stats")) {
		body = s.upstream.stats()
	}
	s.conn.send(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
}

// stats reports and forgets.
func (u *upstream) stats() []byte {
	body, _ := json.Marshal(struct {
		*upstream
		Late percentiles `json:"late_ms"`
	}{u, summarise(u.late)})
	u.Requests, u.Streams, u.Chunks, u.Blocked, u.Aborted, u.late = 0, 0, 0, 0, 0, u.late[:0]
	return body
}

func (u *upstream) begin(s *session, chunks int, usage bool) {
	u.Streams++
	out := append([]byte(streamHead), frame([]byte(chunkHead+`"role":"assistant","content":""`+chunkTail))...)
	s.conn.send(out)
	if s.conn.closed {
		return
	}
	// The golden ratio spreads the phases of any number of streams evenly over the interval.
	u.phase += 0.6180339887498949
	u.phase -= float64(int(u.phase))
	st := &stream{conn: s.conn, left: chunks, usage: usage, session: s}
	// On a grid, because programming the timer for every single chunk costs as much as sending it (a VM exit each).
	st.next = time.Now().Add(time.Duration(u.phase * float64(u.interval))).Truncate(u.quantum).Add(u.quantum)
	s.stream = st
	heap.Push(&u.due, st)
	u.arm()
}

func frame(data []byte) []byte {
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(data), data)
}

func (u *upstream) arm() {
	if len(u.due) > 0 {
		u.loop.after(time.Until(u.due[0].next))
	}
}

// hex3 is a chunk size of three digits: the header is written before its chunk's length is known.
func hex3(n int) []byte {
	const digits = "0123456789abcdef"
	return []byte{digits[n>>8&15], digits[n>>4&15], digits[n&15]}
}

var chunkBuffer = make([]byte, 0, 4096)

func (u *upstream) tick() {
	now := time.Now()
	for len(u.due) > 0 && !u.due[0].next.After(now) {
		st := u.due[0]
		payload := append(chunkBuffer[:0], "000\r\n"...) // a size of fixed width, filled in below
		payload = append(payload, chunkHead+`"content":" @`...)
		payload = strconv.AppendInt(payload, st.next.UnixNano(), 10)
		payload = append(payload, `"`+chunkTail...)
		copy(payload, hex3(len(payload)-5))
		payload = append(payload, "\r\n"...)
		if !st.conn.send(payload) {
			u.Blocked++
		}
		u.Chunks++
		if len(u.late) < maxSamples {
			u.late = append(u.late, now.Sub(st.next).Nanoseconds())
		}
		if st.conn.closed { // the write failed: closed() has removed it
			continue
		}
		if st.left--; st.left > 0 {
			st.next = st.next.Add(u.interval)
			heap.Fix(&u.due, 0)
			continue
		}
		heap.Pop(&u.due)
		st.session.stream = nil
		end := lastEvents
		if st.usage {
			end += fmt.Sprintf(usageEvent, 1, 10)
		}
		st.conn.send(append(frame([]byte(end+"data: [DONE]\n\n")), "0\r\n\r\n"...))
	}
	u.arm()
}
