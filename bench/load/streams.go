package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// streamsResult tells of paced streams. Lag is the time from when a chunk was due upstream to when it was read here.
type streamsResult struct {
	Wanted    int         `json:"wanted"`   // streams asked for
	Complete  int         `json:"complete"` // streams with every chunk and [DONE]
	Short     int         `json:"short"`    // streams that ended well in HTTP, but with chunks missing
	Chunks    int64       `json:"chunks"`   // in the window
	Reads     int64       `json:"reads"`    // in the window; fewer than chunks when some came together
	PerSecond float64     `json:"per_second"`
	Lag       percentiles `json:"lag_ms"`
}

const ramp = time.Second // over which streams are opened

// reader follows one stream.
type reader struct {
	parser response
	tail   []byte // an unfinished event
	chunks int
	done   bool
	ended  bool
}

// pacedStreams opens streams, reads them to their end and counts what arrives in the window.
func pacedStreams(o *options, l *loop, r *result) error {
	whole := ramp + o.warmup + o.duration
	wanted := int(o.chunkRate * (whole + time.Second).Seconds())
	request := o.request(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Write."}],"max_tokens":%d,"stream":true}`, o.model, wanted))
	out := &streamsResult{Wanted: o.streams}
	r.Streams = out
	lags := make([]int64, 0, int(o.chunkRate*float64(o.streams)*(o.duration+time.Second).Seconds()))
	var w window
	ended := 0
	end := func(s *reader, err error) {
		if s.ended {
			return
		}
		s.ended = true
		ended++
		switch {
		case err != nil:
			r.Errors[kind(err)]++
		case s.parser.status != 200:
			r.Errors[fmt.Sprintf("status %d", s.parser.status)]++
		case s.chunks == wanted && s.done:
			out.Complete++
		default:
			out.Short++
		}
		if ended == o.streams && !w.open {
			l.stopped.Store(true)
		}
	}
	open := func() error {
		c, err := l.dial(o.target)
		if err != nil {
			return err
		}
		r.Opened++
		s := &reader{}
		onBody := func(data []byte) { s.take(data, &w, out, &lags) }
		c.onData = func(data []byte) {
			if w.open {
				out.Reads++
			}
			complete, err := s.parser.feed(data, onBody)
			if complete || err != nil {
				c.close()
				end(s, err)
			}
		}
		c.onClose = func(err error) {
			if s.parser.toClose && s.done { // a body that ends with its connection
				err = nil
			}
			end(s, err)
		}
		c.send(request)
		return nil
	}
	begin := time.Now()
	var broken error
	deadline := whole + 30*time.Second
	l.onTimer = func() {
		since := time.Since(begin)
		due := min(o.streams, int(float64(o.streams)*since.Seconds()/ramp.Seconds())+1)
		for broken == nil && r.Opened < due {
			broken = open()
		}
		switch {
		case broken != nil || since > deadline:
			if broken == nil {
				broken = fmt.Errorf("%d of %d streams had not ended %s after they should have", o.streams-ended, o.streams, 29*time.Second)
			}
			l.stopped.Store(true)
		case r.Opened < o.streams:
			l.after(time.Millisecond)
		case !w.open && r.Seconds == 0 && since < ramp+o.warmup:
			l.after(ramp + o.warmup - since)
		case !w.open && r.Seconds == 0:
			w.begin(o)
			l.after(o.duration)
		case w.open:
			w.end(o, r)
			if ended == o.streams {
				l.stopped.Store(true)
			}
			l.after(deadline - since)
		}
	}
	l.after(0)
	if err := l.run(); err != nil {
		return err
	}
	r.Requests, r.PerSecond = int64(out.Complete), 0
	out.PerSecond = float64(out.Chunks) / max(r.Seconds, 1e-9)
	out.Lag = summarise(lags)
	return broken
}

// take looks at the event stream: whole events only, however they were cut.
func (s *reader) take(data []byte, w *window, out *streamsResult, lags *[]int64) {
	if len(s.tail) > 0 {
		data = append(s.tail, data...)
	}
	now := time.Now().UnixNano()
	for {
		end := bytes.Index(data, []byte("\n\n"))
		if end < 0 {
			break
		}
		event := data[:end]
		data = data[end+2:]
		if at := bytes.IndexByte(event, '@'); at >= 0 && len(event) >= at+20 {
			s.chunks++
			if due, err := strconv.ParseInt(string(event[at+1:at+20]), 10, 64); err == nil && w.open {
				out.Chunks++
				*lags = append(*lags, now-due)
			}
		} else if bytes.HasSuffix(event, []byte("[DONE]")) {
			s.done = true
		}
	}
	s.tail = append(s.tail[:0:0], data...)
}
