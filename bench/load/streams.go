package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// streamsResult tells of paced streams. Lag is the time from when a chunk was due upstream to when it was read here, of
// the probes alone.
type streamsResult struct {
	Wanted    int         `json:"wanted"`   // streams asked for
	Complete  int         `json:"complete"` // streams with every chunk in order and [DONE]
	Short     int         `json:"short"`    // streams that ended well in HTTP, but with chunks missing or repeated
	BegunIn   float64     `json:"begun_in"` // seconds from the first dial until every stream had a chunk, or the wait was over
	Chunks    int64       `json:"chunks"`   // in the window
	PerSecond float64     `json:"per_second"`
	Probes    int         `json:"probes"`       // streams that are read at once
	Probed    int64       `json:"probe_chunks"` // of Chunks, those of probes
	Reads     int64       `json:"probe_reads"`  // in the window; fewer than their chunks when some came together
	Lag       percentiles `json:"lag_ms"`

	// What of the lag is this program's and the upstream's own, because their core was full: the time between two looks at
	// the probes, and by how much chunks were sent later than they were due (absent: not asked for, or no answer).
	Turn percentiles  `json:"turn_ms"`
	Late *percentiles `json:"upstream_late_ms,omitempty"`
}

const (
	ramp        = time.Second            // over which streams are opened
	harvest     = 250 * time.Microsecond // between two looks at what has come
	bulkEvery   = 100 * time.Millisecond // between two looks at a stream that is no probe
	leastProbes = 25                     // fewer streams than that are all probes
	slack       = 200 * time.Millisecond // by which the shortest stream outlives the latest window
	ackEvery    = 8                      // reads between two requests to the kernel to take its time with acknowledging
	stamp       = 1 + 19                 // an @ and the time at which a chunk was due, Unix, ns
)

// reader follows one stream.
type reader struct {
	conn   *conn
	parser response
	probe  bool // read as soon as something came, for its lag; the others every bulkEvery
	bulk   bool // no longer watched
	reads  int
	cut    []byte // a stamp whose end has not come yet
	chunks int
	last   int64 // stamp of the last chunk
	late   bool  // had no chunk when the wait for first chunks was over
	broken bool  // a chunk was missing, or came twice
	done   bool
	ended  bool
}

type stage int

const (
	opening   stage = iota
	beginning       // waits for every stream's first chunk
	warming
	measuring
	ending
)

// pacing is one run of paced streams.
type pacing struct {
	o        *options
	l        *loop
	r        *result
	out      *streamsResult
	w        window
	stage    stage
	started  time.Time
	deadline time.Duration // since started
	length   time.Duration // of a stream
	lags     histogram
	turns    histogram
	lateness func()
	request  []byte
	interval int64 // ns between the chunks of a stream
	wanted   int   // chunks of a stream
	every    int   // one stream of so many is a probe
	readers  []*reader
	bulk     []*reader
	next     int           // of bulk
	looked   time.Duration // monotonic
	owed     int64         // looks at bulk, in 1/bulkEvery
	ended    int
}

// pacedStreams opens streams, waits for the first chunk of each, reads them to their end and counts what arrives in the
// window. A window that began earlier would praise a peer that leaves streams waiting: it has less to do for the others.
// Streams that have no chunk `beginWithin` after the last was opened failed, and so did those that have not ended
// `patience` after they should have.
//
// Reading every chunk of every stream when it comes would cost as much as sending it. Lag is measured on probes; all other
// streams are read in bulk, off the poller, and checked all the same.
func pacedStreams(o *options, l *loop, r *result) error {
	l.harvest = harvest
	interval := time.Duration(float64(time.Second) / o.chunkRate)
	p := &pacing{o: o, l: l, r: r, out: &streamsResult{Wanted: o.streams}, interval: interval.Nanoseconds()}
	p.length = ramp + o.beginWithin + o.warmup + o.duration + slack
	p.deadline = ramp + o.beginWithin + p.length + o.patience
	p.wanted = int(o.chunkRate * p.length.Seconds())
	p.every = max(1, min(o.probeEvery, o.streams/leastProbes))
	p.request = o.request(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"pace=%s"}],"max_tokens":%d,"stream":true}`,
		o.model, interval, p.wanted))
	r.Streams = p.out
	broken := p.askUpstream()
	p.started, p.looked = time.Now(), monotonic()
	l.onTurn = p.sweep
	l.onTimer = func() {
		if broken == nil {
			broken = p.step(time.Since(p.started))
		}
		if broken != nil {
			l.stopped.Store(true)
		}
	}
	l.after(0)
	if err := l.run(); err != nil {
		return err
	}
	if unfinished := r.Opened - p.ended; unfinished > 0 {
		r.Errors["unfinished"] = int64(unfinished)
	}
	r.Requests, r.PerSecond = int64(p.out.Complete), 0
	p.out.PerSecond = float64(p.out.Chunks) / max(r.Seconds, 1e-9)
	p.out.Lag, p.out.Turn = p.lags.summarise(), p.turns.summarise()
	return broken
}

// step does what is due and arms the timer for the next.
func (p *pacing) step(since time.Duration) error {
	if since > p.deadline {
		p.l.stopped.Store(true)
		return nil
	}
	switch p.stage {
	case opening:
		for due := int(float64(p.o.streams)*since.Seconds()/ramp.Seconds()) + 1; p.r.Opened < min(p.o.streams, due); {
			if err := p.open(); err != nil {
				return err
			}
		}
		if p.r.Opened == p.o.streams {
			p.stage = beginning
		}
		p.l.after(time.Millisecond)
	case beginning:
		if p.without() > 0 && since < ramp+p.o.beginWithin {
			p.l.after(5 * time.Millisecond)
			return nil
		}
		for _, s := range p.readers {
			s.late = s.chunks == 0
		}
		p.out.BegunIn = since.Seconds()
		p.deadline = since + p.length + p.o.patience
		p.stage = warming
		p.l.after(p.o.warmup)
	case warming:
		p.stage = measuring
		p.w.begin(p.o)
		p.lateness() // forgets what was before
		p.l.after(p.o.duration)
	case measuring:
		p.stage = ending
		p.lateness()
		p.w.end(p.o, p.r)
		p.stopWhenDone()
		p.l.after(p.deadline - since)
	}
	return nil
}

// askUpstream sets `lateness`, which asks the upstream for its statistics; those of the second call are the window's.
func (p *pacing) askUpstream() error {
	p.lateness = func() {}
	if p.o.upstream == nil {
		return nil
	}
	c, err := p.l.dial(p.o.upstream)
	if err != nil {
		return err
	}
	var parser response
	var body []byte
	answers := 0
	p.lateness = func() { c.send([]byte("GET /-/stats HTTP/1.1\r\nhost: upstream\r\n\r\n")) }
	c.onData = func(data []byte) {
		complete, err := parser.feed(data, func(part []byte) { body = append(body, part...) })
		if err != nil {
			c.lost(err)
		} else if complete {
			var said struct {
				Late percentiles `json:"late_ms"`
			}
			if answers++; answers == 2 && json.Unmarshal(body, &said) == nil {
				p.out.Late = &said.Late
			}
			body = body[:0]
		}
	}
	return nil
}

// without counts the streams that run and have no chunk yet.
func (p *pacing) without() (count int) {
	for _, s := range p.readers {
		if s.chunks == 0 && !s.ended {
			count++
		}
	}
	return count
}

func (p *pacing) stopWhenDone() {
	if p.ended == p.o.streams && p.stage == ending {
		p.l.stopped.Store(true)
	}
}

// sweep looks at as many of the streams that are read in bulk as became due since the last turn.
func (p *pacing) sweep() {
	now := monotonic()
	if p.w.open {
		p.turns.add(now - p.looked)
	}
	p.owed += int64(len(p.bulk)) * (now - p.looked).Nanoseconds()
	p.looked = now
	due := p.owed / bulkEvery.Nanoseconds()
	p.owed -= due * bulkEvery.Nanoseconds()
	for range min(due, int64(len(p.bulk))) {
		if p.next >= len(p.bulk) {
			p.next = 0
		}
		s := p.bulk[p.next]
		s.conn.look()
		if !s.conn.closed {
			p.next++
			continue
		}
		last := len(p.bulk) - 1
		p.bulk[p.next], p.bulk[last] = p.bulk[last], nil
		if p.bulk = p.bulk[:last]; last == 0 {
			return
		}
	}
}

func (p *pacing) open() error {
	c, err := p.l.dial(p.o.target)
	if err != nil {
		return err
	}
	s := &reader{conn: c, probe: p.r.Opened%p.every == 0}
	p.r.Opened++
	if s.probe {
		p.out.Probes++
	}
	p.readers = append(p.readers, s)
	onBody := func(data []byte) { p.take(s, data) }
	c.onData = func(data []byte) {
		if s.reads++; s.reads%ackEvery == 1 && !s.bulk {
			c.slowAck()
		}
		if p.w.open && s.probe {
			p.out.Reads++
		}
		complete, err := s.parser.feed(data, onBody)
		if complete || err != nil {
			c.close()
			p.end(s, err)
		} else if s.chunks > 0 && !s.probe && !s.bulk {
			s.bulk = true
			c.unwatch()
			c.promptAck()
			p.bulk = append(p.bulk, s)
		}
	}
	c.onClose = func(err error) {
		if s.parser.toClose && s.done { // a body that ends with its connection
			err = nil
		}
		p.end(s, err)
	}
	c.send(p.request)
	return nil
}

func (p *pacing) end(s *reader, err error) {
	if s.ended {
		return
	}
	s.ended = true
	p.ended++
	switch {
	case err != nil:
		p.r.Errors[kind(err)]++
	case s.parser.status != 200:
		p.r.Errors[fmt.Sprintf("status %d", s.parser.status)]++
	case s.late:
		p.r.Errors["began late"]++
	case s.chunks == p.wanted && s.done && !s.broken:
		p.out.Complete++
	default:
		p.out.Short++
	}
	p.stopWhenDone()
}

// take looks for the stamps in a piece of a body, however it was cut; a router may have written the rest anew.
func (p *pacing) take(s *reader, data []byte) {
	if len(s.cut) > 0 {
		data = append(s.cut, data...)
		s.cut = nil
	}
	now := time.Now().UnixNano()
	for {
		at := bytes.IndexByte(data, '@')
		if at < 0 {
			break
		}
		if len(data) < at+stamp {
			s.cut = append(s.cut, data[at:]...)
			return
		}
		due := digits(data[at+1 : at+stamp])
		data = data[at+stamp:]
		s.broken = s.broken || (s.chunks > 0 && due != s.last+p.interval)
		s.last = due
		s.chunks++
		if p.w.open {
			p.out.Chunks++
			if s.probe {
				p.out.Probed++
				p.lags.add(time.Duration(now - due))
			}
		}
	}
	if s.chunks >= p.wanted && !s.done {
		s.done = bytes.Contains(data, []byte("data: [DONE]")) || bytes.Contains(data, []byte("data:[DONE]"))
		if !s.done { // it may be cut, too
			s.cut = append(s.cut, data[max(0, len(data)-len("data: [DONE")):]...)
		}
	}
}

func digits(text []byte) (value int64) {
	for _, digit := range text {
		value = 10*value + int64(digit-'0')
	}
	return value
}
