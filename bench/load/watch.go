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

// core tells of one core during the window. Working time that no process is charged with is the machine's own: interrupts,
// waking from idle, the loopback's packets in ksoftirqd. At 10,000 messages a second it is a tenth of a core, so what is
// busy beyond the watched processes says little about others; their own CPU time does.
type core struct {
	Busy   float64 `json:"busy"`   // share of the window in which the core worked, for whomever
	Others float64 `json:"others"` // CPU time of programs not watched that may run here, as a share of the window; may exceed 1
	Steal  float64 `json:"steal"`  // share that the hypervisor gave to others
}

// process is one reading of /proc/PID/stat.
type process struct {
	parent int
	kernel bool    // a thread of the kernel
	cpu    float64 // seconds
	reaped float64 // seconds, of children that ended and were waited for
	rss    int64
}

// watch is a reading of /proc: of all processes, of every core. pids: roots of those that are watched with their descendants.
type watch struct {
	at        time.Time
	pids      map[string]int
	processes map[int]process
	cores     map[string][2]float64 // idle, steal, in ticks
}

func readWatch(pids map[string]int) watch {
	return watch{at: time.Now(), pids: pids, cores: readCores(), processes: readProcesses()}
}

// since compares with an earlier reading.
func (w watch) since(earlier watch) (map[string]watched, map[string]core) {
	processes := map[string]watched{}
	for name, root := range w.pids {
		found := watched{}
		for pid, now := range w.processes {
			if w.descends(pid, root) {
				found.CPUSeconds += now.cpu
				found.RSSBytes += now.rss
				found.Processes++
			}
		}
		for pid, before := range earlier.processes {
			if earlier.descends(pid, root) {
				found.CPUSeconds -= before.cpu
			}
		}
		if found.Processes > 0 {
			processes[name] = found
		}
	}
	seconds := w.at.Sub(earlier.at).Seconds()
	others := map[string]float64{}
	for pid, used := range w.others(earlier) {
		for _, name := range allowed(pid) {
			others[name] += used
		}
	}
	// Idle time is exact; working time is what a tick happened to see, and ticks fall into step with timers.
	cores := map[string]core{}
	for name, now := range w.cores {
		before := earlier.cores[name]
		busy := 1 - (now[0]-before[0])/(seconds*clockTicks)
		cores[name] = core{min(max(busy, 0), 1), others[name] / seconds, (now[1] - before[1]) / (seconds * clockTicks)}
	}
	return processes, cores
}

// others: CPU seconds since the earlier reading of programs that are not watched, by process. What a process and its
// children did that began and ended in between is with whoever waited for them.
func (w watch) others(earlier watch) map[int]float64 {
	used := map[int]float64{}
	for pid, now := range w.processes {
		if !now.kernel && !w.watches(pid) {
			before := earlier.processes[pid]
			used[pid] = now.cpu + now.reaped - before.cpu - before.reaped
		}
	}
	for pid, before := range earlier.processes {
		if _, lives := w.processes[pid]; !lives {
			if _, known := used[before.parent]; known { // what it had used before the earlier reading
				used[before.parent] -= before.cpu + before.reaped
			}
		}
	}
	for pid, seconds := range used {
		if seconds <= 0 {
			delete(used, pid)
		}
	}
	return used
}

func (w watch) watches(pid int) bool {
	for _, root := range w.pids {
		if w.descends(pid, root) {
			return true
		}
	}
	return false
}

func (w watch) descends(pid, root int) bool {
	for pid != root && pid > 1 {
		pid = w.processes[pid].parent
	}
	return pid == root
}

// allowed names the cores that a process may run on; none if it is gone.
func allowed(pid int) (cores []string) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, list, _ := strings.Cut(string(data), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		low, high, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		last := first
		if ranged {
			last, _ = strconv.Atoi(high)
		}
		for core := first; err == nil && core <= last; core++ {
			cores = append(cores, strconv.Itoa(core))
		}
	}
	return cores
}

const kernelThread = 0x00200000 // PF_KTHREAD, linux/sched.h

func readProcesses() map[int]process {
	found := map[int]process{}
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
		if one, good := parseStat(string(data)); good {
			found[pid] = one
		}
	}
	return found
}

func parseStat(line string) (process, bool) {
	// The name in parentheses may hold anything; fields are counted from behind it: state ppid … flags(7) …
	// utime(12) stime(13) cutime(14) cstime(15) … rss(22).
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 22 {
		return process{}, false
	}
	number := func(field int) int64 {
		value, _ := strconv.ParseInt(fields[field-1], 10, 64)
		return value
	}
	return process{
		parent: int(number(2)),
		kernel: number(7)&kernelThread != 0,
		cpu:    float64(number(12)+number(13)) / clockTicks,
		reaped: float64(number(14)+number(15)) / clockTicks,
		rss:    number(22) * int64(os.Getpagesize()),
	}, true
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
