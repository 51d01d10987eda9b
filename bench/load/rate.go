package main

import "time"

// openLoop sends requests at a fixed rate, whether or not earlier ones are answered, and measures each from the time at
// which it was due: a peer that stops for a while is charged for every request that had to wait. Those that are due in the
// window count; answers may come up to `patience` after it. When `mostConns` connections are all busy, requests wait here.
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
	var sendDue func(now time.Time)
	due := begin
	starved := false // of connections
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
		if starved {
			sendDue(time.Now())
		}
		if r.Seconds > 0 && inside == 0 && !due.Before(closes) {
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
		if o.mostConns > 0 && waiting >= o.mostConns {
			return nil, nil
		}
		r.Opened++
		return newExchanger(o, l, done)
	}
	sendDue = func(now time.Time) {
		starved = false
		for !due.After(now) && due.Before(closes) {
			e, err := take()
			if err != nil || waiting > 20_000 {
				broken = err
				l.stopped.Store(true)
				return
			}
			if starved = e == nil; starved {
				break
			}
			started := due
			due = due.Add(interval)
			waiting++
			if !started.Before(opens) {
				inside++
			}
			e.send(request, started)
		}
		if r.Seconds == 0 {
			next := closes
			if !w.open {
				next = opens
			}
			if !starved && due.Before(next) {
				next = due
			}
			l.after(time.Until(next))
		}
	}
	l.onTimer = func() {
		now := time.Now()
		if !w.open && r.Seconds == 0 && !now.Before(opens) {
			w.begin(o)
		}
		if r.Seconds > 0 { // the patience is over
			l.stopped.Store(true)
			return
		}
		sendDue(now)
		if w.open && !now.Before(closes) {
			w.end(o, r)
			if inside == 0 && !due.Before(closes) {
				l.stopped.Store(true)
			}
			l.after(o.patience)
		}
	}
	l.after(0)
	if err := l.run(); err != nil {
		return err
	}
	for ; due.Before(closes); due = due.Add(interval) {
		inside++
	}
	if inside > 0 {
		r.Errors["unanswered"] = int64(inside)
	}
	r.PerSecond = float64(r.Requests) / max(r.Seconds, 1e-9)
	summary := summarise(latencies)
	r.Latency = &summary
	return broken
}
