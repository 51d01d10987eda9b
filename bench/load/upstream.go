package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// upstream answers like a model server. A request without "stream": true gets a JSON body of about 1 KB at once; with it
// the same text in `pieces` events, at once and in one write, as from a server that has its answer ready. If the prompt
// names a pace ("pace=20ms"), the stream has max_tokens chunks, each a write of its own, at that pace. Each such chunk
// carries the time at which it was due (Unix, ns, after an @ inside the content), so that whoever reads it knows its lag,
// including what piled up here.
//
// Chunks are due on a grid of `quantum`: programming the timer for every single chunk would cost as much as sending it (a
// VM exit each), and all chunks of one instant are the same bytes. The grid is a ring of slots, one list of streams each.
type upstream struct {
	loop    *loop
	quantum time.Duration
	plain   []byte
	short   []byte // head and events of an answer that is ready
	usage   []byte
	chunk   []byte
	stamp   int // where the time stands in chunk
	started time.Time
	slots   [ring][]*stream
	cursor  int64   // the last slot that was served, counted from `started`
	streams int     // that run
	phase   float64 // of the next stream, in intervals

	Requests int64 `json:"requests"`
	Streams  int64 `json:"streams"`
	Chunks   int64 `json:"chunks"`
	Blocked  int64 `json:"blocked"` // chunks that found the previous one still unsent: the peer does not keep up
	Aborted  int64 `json:"aborted"` // streams whose client left before the end
	late     []int64
	buffer   []byte
}

type stream struct {
	conn    *conn
	steps   int64 // of quantum, between chunks
	left    int
	usage   bool
	ended   bool
	session *session
}

const ring = 2048 // slots; the longest interval is that many quanta

const maxSamples = 1 << 20 // of lateness, between two readings of the statistics

const (
	pieces     = 8 // content events of an answer that is ready
	sentence   = "The model of the house answers. "
	done       = "e\r\ndata: [DONE]\n\n\r\n"
	lastFrame  = "0\r\n\r\n"
	chunkHead  = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{`
	chunkTail  = `},"finish_reason":null}]}` + "\n\n"
	lastEvents = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usageEvent = `data: {"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}}` + "\n\n"
	streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)

func upstreamCommand(args []string) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "HOST:PORT; port 0 is any free one")
	quantum := flags.Duration("quantum", 500*time.Microsecond, "chunks are due at multiples of this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := newLoop()
	if err != nil {
		return err
	}
	l.alone = true
	u := newUpstream(l, *quantum)
	address, err := l.listen(*listen, u.accept)
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d,\"pid\":%d}\n", address.Port, os.Getpid())
	return l.run()
}

func newUpstream(l *loop, quantum time.Duration) *upstream {
	content := strings.Repeat(sentence, 3*pieces)
	body := fmt.Sprintf(`{"id":"chatcmpl-bench0123456789abcdef","object":"chat.completion","created":1790000000,"model":"bench",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":9,"completion_tokens":168,"total_tokens":177}}`, content)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", len(body))
	u := &upstream{loop: l, quantum: quantum, plain: []byte(head + body), started: time.Now()}
	u.short = append([]byte(streamHead), frame([]byte(chunkHead+`"role":"assistant","content":""`+chunkTail))...)
	for range pieces {
		u.short = append(u.short, frame([]byte(chunkHead+`"content":"`+strings.Repeat(sentence, 3)+`"`+chunkTail))...)
	}
	u.short = append(u.short, frame([]byte(lastEvents))...)
	u.usage = frame(fmt.Appendf(nil, usageEvent, 168, 177))
	event := chunkHead + `"content":" @0000000000000000000"` + chunkTail
	u.chunk = frame([]byte(event))
	u.stamp = bytes.IndexByte(u.chunk, '@') + 1
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
		s.upstream.Aborted++
		s.end()
	}
}

// end forgets the stream; its slot drops it when its turn comes.
func (s *session) end() {
	s.stream.ended = true
	s.stream = nil
	s.upstream.streams--
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
	if !wants(body, `"stream":`) {
		s.conn.send(u.plain)
		return
	}
	usage := wants(body, `"include_usage":`)
	if !bytes.Contains(body, []byte("pace=")) { // spares the parser where requests/s are measured
		out := append(u.buffer[:0], u.short...)
		if usage {
			out = append(out, u.usage...)
		}
		u.buffer = append(append(out, done...), lastFrame...)
		s.conn.send(u.buffer)
		return
	}
	var asked struct {
		MaxTokens int `json:"max_tokens"`
		Messages  []struct {
			Content any `json:"content"`
		} `json:"messages"`
	}
	interval := time.Duration(0)
	err := json.Unmarshal(body, &asked)
	for _, message := range asked.Messages {
		text, _ := message.Content.(string)
		if _, pace, found := strings.Cut(text, "pace="); found && err == nil {
			interval, err = time.ParseDuration(pace)
		}
	}
	if err != nil || interval < u.quantum || interval >= ring*u.quantum {
		s.conn.send([]byte("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"))
		return
	}
	u.begin(s, max(asked.MaxTokens, 1), interval, usage)
}

// wants: whether the key's value is true. Texts of the benchmark hold no such words.
func wants(body []byte, key string) bool {
	_, rest, found := bytes.Cut(body, []byte(key))
	return found && bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte("true"))
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

func (u *upstream) begin(s *session, chunks int, interval time.Duration, usage bool) {
	u.Streams++
	out := append([]byte(streamHead), frame([]byte(chunkHead+`"role":"assistant","content":""`+chunkTail))...)
	s.conn.send(out)
	if s.conn.closed {
		return
	}
	// The golden ratio spreads the phases of any number of streams evenly over the interval.
	u.phase += 0.6180339887498949
	u.phase -= float64(int(u.phase))
	if u.streams == 0 {
		u.cursor = u.slotOf(time.Now())
	}
	st := &stream{conn: s.conn, steps: int64(interval / u.quantum), left: chunks, usage: usage, session: s}
	u.schedule(st, u.cursor+1+int64(u.phase*float64(st.steps)))
	s.stream = st
	if u.streams++; u.streams == 1 {
		u.arm()
	}
}

// slotOf is the last slot that is due at a time.
func (u *upstream) slotOf(now time.Time) int64 { return int64(now.Sub(u.started) / u.quantum) }

func (u *upstream) dueAt(slot int64) time.Time { return u.started.Add(time.Duration(slot) * u.quantum) }

func (u *upstream) schedule(st *stream, slot int64) {
	at := &u.slots[slot%ring]
	*at = append(*at, st)
}

func frame(data []byte) []byte {
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(data), data)
}

// arm sets the timer to the next instant of the grid while there are streams.
func (u *upstream) arm() {
	if u.streams > 0 {
		u.loop.after(time.Until(u.dueAt(u.cursor + 1)))
	}
}

func (u *upstream) tick() {
	for last := u.slotOf(time.Now()); u.cursor < last && u.streams > 0; {
		u.cursor++
		u.serve(u.cursor)
	}
	u.arm()
}

// serve sends the chunks of one instant.
func (u *upstream) serve(slot int64) {
	due := u.slots[slot%ring]
	if len(due) == 0 {
		return
	}
	at := u.dueAt(slot)
	strconv.AppendInt(u.chunk[:u.stamp], at.UnixNano(), 10) // 19 digits until the year 2286
	if len(u.late) < maxSamples {
		u.late = append(u.late, time.Since(at).Nanoseconds())
	}
	for _, st := range due {
		if st.ended {
			continue
		}
		if !st.conn.send(u.chunk) {
			u.Blocked++
		}
		u.Chunks++
		if st.ended { // the write failed
			continue
		}
		if st.left--; st.left > 0 {
			u.schedule(st, slot+st.steps)
			continue
		}
		st.session.end()
		out := frame([]byte(lastEvents))
		if st.usage {
			out = append(out, u.usage...)
		}
		st.conn.send(append(append(out, done...), lastFrame...))
	}
	clear(due)
	u.slots[slot%ring] = due[:0]
}
