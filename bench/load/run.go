package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// options are the flags of `load run`.
type options struct {
	mode        string
	target      *net.TCPAddr
	upstream    *net.TCPAddr // nil: not asked
	host        string
	path        string
	model       string
	body        string
	headers     []string
	connections int
	mostConns   int // 0: no bound
	rate        float64
	streams     int
	chunkRate   float64
	probeEvery  int
	beginWithin time.Duration
	warmup      time.Duration
	duration    time.Duration
	patience    time.Duration
	watch       map[string]int
}

// result is what one run prints. Times in milliseconds. Everything but errors is counted inside the window.
type result struct {
	Mode      string             `json:"mode"`
	Seconds   float64            `json:"seconds"`
	Requests  int64              `json:"requests"`
	PerSecond float64            `json:"per_second"`
	Errors    map[string]int64   `json:"errors"` // over the whole run, warm-up included
	Latency   *percentiles       `json:"latency_ms,omitempty"`
	Opened    int                `json:"connections"`
	Streams   *streamsResult     `json:"streams,omitempty"`
	Watched   map[string]watched `json:"watched"`
	Cores     map[string]core    `json:"cores"`
}

type many []string

func (m *many) String() string     { return strings.Join(*m, ",") }
func (m *many) Set(v string) error { *m = append(*m, v); return nil }

func runCommand(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	l, err := newLoop()
	if err != nil {
		return err
	}
	l.alone = true
	r, err := o.run(l)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func parseOptions(args []string) (*options, error) {
	o := &options{mode: args[0], watch: map[string]int{"load": os.Getpid()}}
	var headers, watches many
	flags := flag.NewFlagSet("run "+o.mode, flag.ContinueOnError)
	target := flags.String("url", "", "http://HOST:PORT/v1/chat/completions")
	upstream := flags.String("upstream", "", "HOST:PORT of the upstream, to be asked by how much it was late (streams)")
	flags.StringVar(&o.model, "model", "bench", "model of the request")
	flags.StringVar(&o.body, "body", "whole", "whole, short or untouched: what is asked for (saturate, rate)")
	flags.IntVar(&o.connections, "connections", 32, "connections that are kept busy (saturate)")
	flags.Float64Var(&o.rate, "rate", 500, "requests per second (rate)")
	flags.IntVar(&o.mostConns, "most-connections", 0, "at once; requests that are due wait for a free one; 0: no bound (rate)")
	flags.IntVar(&o.streams, "streams", 300, "streams at once (streams)")
	flags.Float64Var(&o.chunkRate, "chunk-rate", 100, "chunks per second of each stream, as the upstream is set (streams)")
	flags.IntVar(&o.probeEvery, "probe-every", 12, "one stream of so many is read at once, for its lag, the others every 100 ms; 1: all (streams)")
	flags.DurationVar(&o.beginWithin, "begin-within", 3*time.Second, "after the last stream was opened: until every stream has its first chunk; then they count as failed (streams)")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "before the measured window; streams: after all have begun")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "measured window")
	flags.DurationVar(&o.patience, "patience", 10*time.Second, "after the end, for answers that are late; then they count as failed")
	flags.Var(&headers, "header", "extra header, NAME: VALUE (repeatable)")
	flags.Var(&watches, "watch", "NAME=PID: CPU and memory of this process and its descendants (repeatable)")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if _, known := bodies[o.body]; !known {
		return nil, fmt.Errorf("--body %q: need whole, short or untouched", o.body)
	}
	parsed, err := url.Parse(*target)
	if err != nil || parsed.Scheme != "http" {
		return nil, fmt.Errorf("--url %q: need http://HOST:PORT/PATH", *target)
	}
	o.host, o.path, o.headers = parsed.Host, parsed.RequestURI(), headers
	if o.target, err = net.ResolveTCPAddr("tcp4", parsed.Host); err != nil {
		return nil, fmt.Errorf("--url %q: %w", *target, err)
	}
	if *upstream != "" {
		if o.upstream, err = net.ResolveTCPAddr("tcp4", *upstream); err != nil {
			return nil, fmt.Errorf("--upstream %q: %w", *upstream, err)
		}
	}
	for _, pair := range watches {
		name, value, _ := strings.Cut(pair, "=")
		if o.watch[name], err = strconv.Atoi(value); err != nil {
			return nil, fmt.Errorf("--watch %q: need NAME=PID", pair)
		}
	}
	return o, nil
}

func (o *options) run(l *loop) (*result, error) {
	r := &result{Mode: o.mode, Errors: map[string]int64{}}
	switch o.mode {
	case "saturate":
		return r, saturate(o, l, r)
	case "rate":
		return r, openLoop(o, l, r)
	case "streams":
		return r, pacedStreams(o, l, r)
	}
	return nil, fmt.Errorf("unknown mode %q\n%s", o.mode, usage)
}

// request is the bytes of one POST.
func (o *options) request(body string) []byte {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n", o.path, o.host, len(body))
	for _, line := range o.headers {
		head += line + "\r\n"
	}
	return []byte(head + "\r\n" + body)
}

// bodies are chat requests of about 400 bytes: a system prompt and a question; what comes after them tells them apart.
// "untouched" asks for what only a whole answer has (log probabilities together with stop words): a router that calls its
// upstream for a stream even where its client wants none cannot do so here.
var bodies = map[string]string{
	"whole":     "",
	"short":     `,"stream":true`,
	"untouched": `,"stop":["\u0003"],"logprobs":true`,
}

// plainBody is what saturate and rate send.
func (o *options) plainBody() string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":"You are the assistant of the house. Answer in short sentences,`+
		` name what you do not know, and never invent an order number, a price or a date."},{"role":"user","content":`+
		`"Which parts of the order of last Tuesday are still missing, and when will they be here?"}],"max_tokens":256,"temperature":0.2%s}`, o.model, bodies[o.body])
}

// window measures between begin and end.
type window struct {
	first watch
	open  bool
}

func (w *window) begin(o *options) {
	w.first = readWatch(o.watch)
	w.open = true
}

func (w *window) end(o *options, r *result) {
	last := readWatch(o.watch)
	w.open = false
	r.Watched, r.Cores = last.since(w.first)
	r.Seconds = last.at.Sub(w.first.at).Seconds()
	r.PerSecond = float64(r.Requests) / r.Seconds
}

// kind names an error in the result.
func kind(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.Is(err, errHTTP):
		return "malformed"
	}
	return err.Error()
}
