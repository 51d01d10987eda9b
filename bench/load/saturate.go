package main

import (
	"bytes"
	"fmt"
	"time"
)

// minimalBody is less than any peer's version of the upstream's JSON body: shorter ones are errors, not answers.
const minimalBody = 900

// exchanger sends one request after another on one connection and checks each answer.
type exchanger struct {
	conn    *conn
	parser  response
	started time.Time
	body    int
	last    [14]byte // of the body
	stream  bool     // the answer is to be one, and to end with [DONE]
	busy    bool
	done    func(e *exchanger, err error)
}

func newExchanger(o *options, l *loop, done func(*exchanger, error)) (*exchanger, error) {
	c, err := l.dial(o.target)
	if err != nil {
		return nil, err
	}
	e := &exchanger{conn: c, done: done, stream: o.body == "short"}
	onBody := func(data []byte) {
		e.body += len(data)
		if n := min(len(data), len(e.last)); e.stream {
			copy(e.last[:], e.last[n:])
			copy(e.last[len(e.last)-n:], data[len(data)-n:])
		}
	}
	c.onData = func(data []byte) {
		complete, err := e.parser.feed(data, onBody)
		if err != nil {
			c.lost(err)
		} else if complete {
			e.busy = false
			e.done(e, e.verdict())
		}
	}
	c.onClose = func(err error) {
		if e.busy {
			e.busy = false
			e.done(e, err)
		}
	}
	return e, nil
}

func (e *exchanger) verdict() error {
	if e.parser.status != 200 {
		return fmt.Errorf("status %d", e.parser.status)
	}
	if e.body < minimalBody {
		return fmt.Errorf("short body")
	}
	if e.stream && !bytes.Contains(e.last[:], []byte("[DONE]")) {
		return fmt.Errorf("no [DONE]")
	}
	return nil
}

func (e *exchanger) send(request []byte, started time.Time) {
	e.started, e.body, e.busy = started, 0, true
	e.conn.send(request)
}

// saturate keeps a number of connections busy: each sends its next request when its answer is complete.
func saturate(o *options, l *loop, r *result) error {
	request := o.request(o.plainBody())
	latencies := make([]int64, 0, 1<<20)
	var w window
	var broken error
	var open func()
	done := func(e *exchanger, err error) {
		now := time.Now()
		if err != nil {
			r.Errors[kind(err)]++
		} else if w.open {
			r.Requests++
			latencies = append(latencies, now.Sub(e.started).Nanoseconds())
		}
		if e.conn.closed || e.parser.close {
			e.conn.close()
			open()
		} else {
			e.send(request, now)
		}
	}
	open = func() {
		if l.stopped.Load() || total(r.Errors) > 10_000 {
			l.stopped.Store(true)
			return
		}
		e, err := newExchanger(o, l, done)
		if err != nil {
			broken = err
			l.stopped.Store(true)
			return
		}
		r.Opened++
		e.send(request, time.Now())
	}
	for range o.connections {
		open()
	}
	l.onTimer = func() {
		if !w.open {
			w.begin(o)
			l.after(o.duration)
			return
		}
		w.end(o, r)
		l.stopped.Store(true)
	}
	l.after(o.warmup)
	if err := l.run(); err != nil {
		return err
	}
	summary := summarise(latencies)
	r.Latency = &summary
	return broken
}

func total(errors map[string]int64) (sum int64) {
	for _, n := range errors {
		sum += n
	}
	return sum
}
