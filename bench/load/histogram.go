package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets of 1/64 of their size: millions of samples cost no memory and no sorting.
type histogram struct {
	counts [64 * 64]int64
	total  int64
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

// bucketOf: below 64 ns each nanosecond has its own; above, the highest seven bits decide.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-7, 0)
	return shift*64 + int(v>>shift)
}

// middle of a bucket, nanoseconds.
func middle(bucket int) int64 {
	shift := max(bucket/64-1, 0)
	low := int64(bucket-shift*64) << shift
	return low + (int64(1)<<shift)/2
}

func (h *histogram) summarise() percentiles {
	if h.total == 0 {
		return percentiles{}
	}
	at := func(share float64) float64 {
		rank, seen := min(int64(share*float64(h.total)), h.total-1), int64(0)
		for bucket, count := range h.counts {
			if seen += count; seen > rank {
				return float64(middle(bucket)) / 1e6
			}
		}
		return 0
	}
	return percentiles{at(0.50), at(0.90), at(0.99), at(1)}
}
