package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTicks is USER_HZ: the unit of /proc/PID/stat, 100 on every Linux that runs Go.
const clockTicks = 100

// watched is what a process and its descendants used during the measured window.
type watched struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"` // at the end of the window; shared pages count in each process
	Processes  int     `json:"processes"`
}

type core struct {
	Busy  float64 `json:"busy"`  // share of the window in which the core worked, for whomever
	Steal float64 `json:"steal"` // share that the hypervisor gave to others
}

// watch is a reading of /proc: of named processes with their descendants, of this process, of every core.
type watch struct {
	at    time.Time
	cpu   map[string]float64
	rss   map[string]int64
	count map[string]int
	cores map[string][2]float64 // idle, steal, in ticks
}

func readWatch(pids map[string]int) watch {
	w := watch{at: time.Now(), cpu: map[string]float64{}, rss: map[string]int64{}, count: map[string]int{}, cores: readCores()}
	parents, cpu, rss := readProcesses()
	for name, root := range pids {
		for pid := range parents {
			if descends(pid, root, parents) {
				w.cpu[name] += cpu[pid]
				w.rss[name] += rss[pid]
				w.count[name]++
			}
		}
	}
	return w
}

// since compares with an earlier reading.
func (w watch) since(earlier watch) (map[string]watched, map[string]core) {
	processes := map[string]watched{}
	for name := range w.count {
		processes[name] = watched{w.cpu[name] - earlier.cpu[name], w.rss[name], w.count[name]}
	}
	// Idle time is exact; working time is what a tick happened to see, and ticks fall into step with timers.
	wall := w.at.Sub(earlier.at).Seconds() * clockTicks
	cores := map[string]core{}
	for name, now := range w.cores {
		before := earlier.cores[name]
		cores[name] = core{min(max(1-(now[0]-before[0])/wall, 0), 1), (now[1] - before[1]) / wall}
	}
	return processes, cores
}

func descends(pid, root int, parents map[int]int) bool {
	for pid != root && pid > 1 {
		pid = parents[pid]
	}
	return pid == root
}

func readProcesses() (parents map[int]int, cpu map[int]float64, rss map[int]int64) {
	parents, cpu, rss = map[int]int{}, map[int]float64{}, map[int]int64{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil { // ended meanwhile
			continue
		}
		// The name in parentheses may hold anything; fields are counted from behind it: state ppid … utime(12) stime(13) … rss(22).
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		parents[pid], _ = strconv.Atoi(fields[1])
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		cpu[pid] = (user + system) / clockTicks
		rss[pid] = pages * int64(os.Getpagesize())
	}
	return parents, cpu, rss
}

func readCores() map[string][2]float64 {
	cores := map[string][2]float64{}
	data, _ := os.ReadFile("/proc/stat")
	for line := range strings.SplitSeq(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") || fields[0] == "cpu" {
			continue
		}
		var times [8]float64 // user nice system idle iowait irq softirq steal
		for i := range times {
			times[i], _ = strconv.ParseFloat(fields[i+1], 64)
		}
		cores[strings.TrimPrefix(fields[0], "cpu")] = [2]float64{times[3] + times[4], times[7]}
	}
	return cores
}

type percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// summarise turns nanoseconds into percentiles in milliseconds; it sorts its argument.
func summarise(samples []int64) percentiles {
	if len(samples) == 0 {
		return percentiles{}
	}
	slices.Sort(samples)
	at := func(share float64) float64 {
		return float64(samples[min(len(samples)-1, int(share*float64(len(samples))))]) / 1e6
	}
	return percentiles{at(0.50), at(0.90), at(0.99), at(1)}
}
