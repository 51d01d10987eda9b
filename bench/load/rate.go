package main

import "time"

// openLoop sends requests at a fixed rate, whether or not earlier ones are answered, and measures each from the time at
// which it was due: a peer that stops for a while is charged for every request that had to wait. Those that are due in the
// window count; answers may come up to `patience` after it.
func openLoop(o *options, l *loop, r *result) error {
	request := o.request(o.plainBody())
	latencies := make([]int64, 0, int(o.rate*o.duration.Seconds())+1)
	interval := time.Duration(float64(time.Second) / o.rate)
	begin := time.Now()
	opens := begin.Add(o.warmup)
	closes := opens.Add(o.duration)
	var w window
	var idle []*exchanger
	waiting, inside := 0, 0
	var broken error
	counts := func(e *exchanger) bool { return !e.started.Before(opens) && e.started.Before(closes) }
	done := func(e *exchanger, err error) {
		waiting--
		if counts(e) {
			inside--
		}
		if err != nil {
			r.Errors[kind(err)]++
		} else if counts(e) {
			r.Requests++
			latencies = append(latencies, time.Since(e.started).Nanoseconds())
		}
		if e.conn.closed || e.parser.close {
			e.conn.close()
		} else {
			idle = append(idle, e)
		}
		if r.Seconds > 0 && inside == 0 {
			l.stopped.Store(true)
		}
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
	due := begin
	l.onTimer = func() {
		now := time.Now()
		if !w.open && r.Seconds == 0 && !now.Before(opens) {
			w.begin(o)
		}
		if r.Seconds > 0 { // the patience is over
			l.stopped.Store(true)
			return
		}
		for !due.After(now) && due.Before(closes) {
			e, err := take()
			if err != nil || waiting > 20_000 {
				broken = err
				l.stopped.Store(true)
				return
			}
			e.send(request, due)
			waiting++
			if counts(e) {
				inside++
			}
			due = due.Add(interval)
		}
		if w.open && !now.Before(closes) {
			w.end(o, r)
			if inside == 0 {
				l.stopped.Store(true)
			}
			l.after(o.patience)
			return
		}
		l.after(min(time.Until(due), max(time.Until(closes), time.Microsecond)))
	}
	l.after(0)
	if err := l.run(); err != nil {
		return err
	}
	if inside > 0 {
		r.Errors["unanswered"] = int64(inside)
	}
	r.PerSecond = float64(r.Requests) / max(r.Seconds, 1e-9)
	summary := summarise(latencies)
	r.Latency = &summary
	return broken
}
