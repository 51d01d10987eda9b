package main

import "time"

// openLoop sends requests at a fixed rate, whether or not earlier ones are answered, and measures each from the time at
// which it was due: a peer that stops for a while is charged for every request that had to wait.
func openLoop(o *options, l *loop, r *result) error {
	request := o.request(o.plainBody())
	latencies := make([]int64, 0, int(o.rate*o.duration.Seconds())+1)
	interval := time.Duration(float64(time.Second) / o.rate)
	var w window
	var idle []*exchanger
	waiting := 0
	var broken error
	done := func(e *exchanger, err error) {
		waiting--
		if err != nil {
			r.Errors[kind(err)]++
		} else if w.open {
			r.Requests++
			latencies = append(latencies, time.Since(e.started).Nanoseconds())
		}
		if e.conn.closed || e.parser.close {
			e.conn.close()
			return
		}
		idle = append(idle, e)
	}
	take := func() (*exchanger, error) {
		for len(idle) > 0 {
			e := idle[len(idle)-1]
			idle = idle[:len(idle)-1]
			if !e.conn.closed {
				return e, nil
			}
		}
		r.Opened++
		return newExchanger(o, l, done)
	}
	begin := time.Now()
	due := begin
	l.onTimer = func() {
		now := time.Now()
		if !w.open && now.Sub(begin) >= o.warmup {
			w.begin(o)
		}
		if w.open && now.Sub(begin) >= o.warmup+o.duration {
			w.end(o, r)
			l.stopped.Store(true)
			return
		}
		for !due.After(now) {
			e, err := take()
			if err != nil || waiting > 20_000 {
				broken = err
				l.stopped.Store(true)
				return
			}
			waiting++
			e.send(request, due)
			due = due.Add(interval)
		}
		l.after(time.Until(due))
	}
	l.after(0)
	if err := l.run(); err != nil {
		return err
	}
	summary := summarise(latencies)
	r.Latency = &summary
	return broken
}
