package main

import (
	"bytes"
	"fmt"
	"time"
)

// streamsResult tells of paced streams. Lag is the time from when a chunk was due upstream to when it was read here.
type streamsResult struct {
	Wanted    int         `json:"wanted"`   // streams asked for
	Complete  int         `json:"complete"` // streams with every chunk in order and [DONE]
	Short     int         `json:"short"`    // streams that ended well in HTTP, but with chunks missing or repeated
	Chunks    int64       `json:"chunks"`   // in the window
	Reads     int64       `json:"reads"`    // in the window; fewer than chunks when some came together
	PerSecond float64     `json:"per_second"`
	Lag       percentiles `json:"lag_ms"`
}

const (
	ramp     = time.Second            // over which streams are opened
	harvest  = 250 * time.Microsecond // between two looks at what has come
	ackEvery = 8                      // reads between two requests to the kernel to take its time with acknowledging
	stamp    = 1 + 19                 // an @ and the time at which a chunk was due, Unix, ns
)

// reader follows one stream.
type reader struct {
	parser response
	reads  int
	cut    []byte // a stamp whose end has not come yet
	chunks int
	last   int64 // stamp of the last chunk
	broken bool  // a chunk was missing, or came twice
	done   bool
	ended  bool
}

// pacing is one run of paced streams.
type pacing struct {
	o        *options
	l        *loop
	r        *result
	out      *streamsResult
	w        window
	lags     histogram
	request  []byte
	interval int64 // ns between the chunks of a stream
	wanted   int   // chunks of a stream
	ended    int
}

// pacedStreams opens streams, reads them to their end and counts what arrives in the window. Streams that have not ended
// `patience` after they should have are counted as unfinished.
func pacedStreams(o *options, l *loop, r *result) error {
	l.harvest = harvest
	interval := time.Duration(float64(time.Second) / o.chunkRate)
	length := ramp + o.warmup + o.duration
	p := &pacing{o: o, l: l, r: r, out: &streamsResult{Wanted: o.streams}, interval: interval.Nanoseconds()}
	p.wanted = int(o.chunkRate * (length + time.Second).Seconds())
	p.request = o.request(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"pace=%s"}],"max_tokens":%d,"stream":true}`,
		o.model, interval, p.wanted))
	r.Streams = p.out
	begin := time.Now()
	var broken error
	deadline := length + time.Second + o.patience
	l.onTimer = func() {
		since := time.Since(begin)
		due := min(o.streams, int(float64(o.streams)*since.Seconds()/ramp.Seconds())+1)
		for broken == nil && r.Opened < due {
			broken = p.open()
		}
		switch {
		case broken != nil || since > deadline:
			l.stopped.Store(true)
		case r.Opened < o.streams:
			l.after(time.Millisecond)
		case !p.w.open && r.Seconds == 0 && since < ramp+o.warmup:
			l.after(ramp + o.warmup - since)
		case !p.w.open && r.Seconds == 0:
			p.w.begin(o)
			l.after(o.duration)
		case p.w.open:
			p.w.end(o, r)
			if p.ended == o.streams {
				l.stopped.Store(true)
			}
			l.after(deadline - since)
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
	p.out.Lag = p.lags.summarise()
	return broken
}

func (p *pacing) open() error {
	c, err := p.l.dial(p.o.target)
	if err != nil {
		return err
	}
	p.r.Opened++
	s := &reader{}
	onBody := func(data []byte) { p.take(s, data) }
	c.onData = func(data []byte) {
		if s.reads++; s.reads%ackEvery == 1 {
			c.slowAck()
		}
		if p.w.open {
			p.out.Reads++
		}
		complete, err := s.parser.feed(data, onBody)
		if complete || err != nil {
			c.close()
			p.end(s, err)
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
	case s.chunks == p.wanted && s.done && !s.broken:
		p.out.Complete++
	default:
		p.out.Short++
	}
	if p.ended == p.o.streams && !p.w.open {
		p.l.stopped.Store(true)
	}
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
			p.lags.add(time.Duration(now - due))
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
