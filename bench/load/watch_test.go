package main

import (
	"maps"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestStatLine(t *testing.T) {
	line := "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 300 100 20 0 1 0 9 1000 25 0"
	want := process{parent: 7, cpu: 2, reaped: 4, rss: 25 * int64(os.Getpagesize())}
	if got, good := parseStat(line); !good || got != want {
		t.Errorf("got %+v", got)
	}
	if got, _ := parseStat("12 (ksoftirqd/0) S 2 0 0 0 -1 69238848 0 0 0 0 0 9 0 0 20 0 1 0 9 0 0 0"); !got.kernel {
		t.Errorf("a thread of the kernel was taken for a program: %+v", got)
	}
}

// A peer must not be blamed for what others did, nor excused for what the kernel did for it.
func TestOthersAreProgramsThatAreNotWatched(t *testing.T) {
	earlier := watch{pids: map[string]int{"peer": 10}, processes: map[int]process{
		1: {}, 2: {kernel: true, cpu: 1}, 10: {parent: 1, cpu: 5}, 11: {parent: 10, cpu: 1},
		20: {parent: 1, cpu: 3}, 21: {parent: 20, cpu: 2}, 30: {parent: 1, cpu: 4},
	}}
	now := watch{pids: earlier.pids, processes: map[int]process{
		1: {}, 2: {kernel: true, cpu: 3}, // ksoftirqd, at the loopback's packets
		10: {parent: 1, cpu: 8}, 11: {parent: 10, cpu: 3}, // the peer and its child
		20: {parent: 1, cpu: 3.5, reaped: 2.25}, // its child had used 2 s, used 0.25 s more, ended
		30: {parent: 1, cpu: 4},                 // idle
		40: {parent: 1, cpu: 1},                 // new
	}}
	if got, want := now.others(earlier), map[int]float64{20: 0.75, 40: 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	processes, _ := now.since(earlier)
	if got := processes["peer"]; got.CPUSeconds != 5 || got.Processes != 2 {
		t.Errorf("peer: got %+v", got)
	}
}

func TestABusyProgramIsSeenWhereItMayRun(t *testing.T) {
	self := map[string]int{"self": os.Getpid()}
	busy := exec.Command("sh", "-c", "while :; do :; done")
	earlier := readWatch(self)
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	}()
	for deadline := time.Now().Add(5 * time.Second); readProcesses()[busy.Process.Pid].cpu < 0.05; {
		if time.Now().After(deadline) {
			t.Fatal("it used no CPU time")
		}
		time.Sleep(10 * time.Millisecond)
	}
	now := readWatch(self)
	if now.others(earlier)[busy.Process.Pid] > 0 {
		t.Error("a child of a watched process was counted among the others")
	}
	now.pids, earlier.pids = nil, nil
	_, cores := now.since(earlier)
	for _, name := range allowed(busy.Process.Pid) {
		if cores[name].Others <= 0 {
			t.Errorf("core %s: nobody was seen: %+v", name, cores[name])
		}
	}
	if len(allowed(busy.Process.Pid)) == 0 {
		t.Error("it may run nowhere")
	}
}
