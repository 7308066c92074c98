package demo

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// load measures how busy the machine's processors are between start and stop.
type load struct {
	clock clock.Clock

	began      time.Time
	busyBefore float64
	cores      float64 // busy on average; negative when the system does not tell
}

func (l *load) start() { l.began, l.busyBefore = l.clock.Now(), busySeconds() }

func (l *load) stop() {
	busy := busySeconds()
	if took := l.clock.Now().Sub(l.began).Seconds(); busy < 0 || l.busyBefore < 0 || took <= 0 {
		l.cores = -1
	} else {
		l.cores = (busy - l.busyBefore) / took
	}
}

// saturated is the part of the processors above which they are what bounds a rate: the rest is lost to waiting between processes.
const saturated = 0.85

// bound says in one line what bounded the rate. pace is the producers' own, 0 for none.
func (l *load) bound(pace int) string {
	all := runtime.NumCPU()
	switch {
	case l.cores < 0:
		return "bounded by what is not known: this system does not tell how busy its processors are"
	case l.cores >= saturated*float64(all):
		return fmt.Sprintf("bounded by the processors: %.1f of %d busy with databases, workers and producers", l.cores, all)
	case pace > 0:
		return fmt.Sprintf("bounded by the producers, who asked %s times a second: %.1f of %d processors busy", grouped(pace), l.cores, all)
	default:
		return fmt.Sprintf("bounded by waiting for commits and for mishaps to heal: %.1f of %d processors busy", l.cores, all)
	}
}

// ticksPerSecond is the unit of /proc/stat on every Linux that Go runs on.
const ticksPerSecond = 100

// busySeconds is how long all processors together have been busy since the machine began; negative where /proc does not tell.
func busySeconds() float64 {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	first, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	if len(fields) < 9 || fields[0] != "cpu" {
		return -1
	}
	busy := 0
	for i, field := range fields[1:9] {
		ticks, err := strconv.Atoi(field)
		if err != nil {
			return -1
		}
		if i != 3 && i != 4 { // idle, and idle while a disk is awaited
			busy += ticks
		}
	}
	return float64(busy) / ticksPerSecond
}
