// Command load is the upstream and the load generator of the router benchmark.
//
// Both are single-threaded event loops on epoll and do as little as HTTP allows, because they share one core
// and must not be what a benchmark measures: `load run saturate` straight against `load upstream` shows their own limit.
//
//	load upstream  an OpenAI-compatible server: answers of about 1 KB, whole or as a stream, and streams at a fixed pace
//	load run       saturate | rate | streams: one measurement, one JSON object on stdout
package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

const usage = `usage:
  load upstream [--listen HOST:PORT] [--quantum D]
  load run saturate --url URL [--body whole|short|untouched] [--connections N] [--duration D] [--warmup D] [--watch NAME=PID ...]
  load run rate     --url URL [--body …] [--rate N] [--most-connections N] [--duration D] [--warmup D] [--watch NAME=PID ...]
  load run streams  --url URL [--streams N] [--chunk-rate N] [--probe-every N] [--upstream HOST:PORT] [--duration D] [--warmup D] [--watch NAME=PID ...]
`

func main() {
	debug.SetGCPercent(800) // garbage is small; collections would show up as latency of the peer
	if len(os.Args) < 2 {
		fail(fmt.Errorf("%s", usage))
	}
	var err error
	switch os.Args[1] {
	case "upstream":
		err = upstreamCommand(os.Args[2:])
	case "run":
		err = runCommand(os.Args[2:])
	default:
		err = fmt.Errorf("unknown command %q\n%s", os.Args[1], usage)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
