package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// CPU is the processor time that a row took, by process.
type CPU struct {
	Settled  time.Duration `json:"settled_ns"` // this process: handlers, lanes, and the load itself
	Postgres time.Duration `json:"postgres_ns"`
	Redis    time.Duration `json:"redis_ns"`
}

func (c CPU) sub(before CPU) CPU {
	return CPU{c.Settled - before.Settled, c.Postgres - before.Postgres, c.Redis - before.Redis}
}

// cpuMeter reads processor times. PostgreSQL's are those of the server's processes on this machine, from /proc; where it cannot be
// seen they are zero.
type cpuMeter struct {
	redis      redis.UniversalClient
	postmaster int
}

func newCPUMeter(ctx context.Context, pool *pgxpool.Pool, client redis.UniversalClient) *cpuMeter {
	m := &cpuMeter{redis: client}
	var backend int
	if err := pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err == nil {
		if stat, ok := readStat(backend); ok {
			m.postmaster = stat.parent
		}
	}
	return m
}

func (m *cpuMeter) read(ctx context.Context) CPU {
	var cpu CPU
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		cpu.Settled = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	cpu.Redis = m.readRedis(ctx)
	if m.postmaster > 1 {
		cpu.Postgres = m.readPostgres()
	}
	return cpu
}

func (m *cpuMeter) readRedis(ctx context.Context) time.Duration {
	info, err := m.redis.Info(ctx, "cpu").Result()
	if err != nil {
		return 0
	}
	var sum float64 // seconds as Redis writes them; no money
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, _ := strconv.ParseFloat(value, 64)
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// readPostgres sums the postmaster, its living children and those that it has buried.
func (m *cpuMeter) readPostgres() time.Duration {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	var ticks int64
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if stat, ok := readStat(pid); ok && (pid == m.postmaster || stat.parent == m.postmaster) {
			ticks += stat.own
			if pid == m.postmaster {
				ticks += stat.children
			}
		}
	}
	const ticksPerSecond = 100 // USER_HZ, which Linux fixes for /proc
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

type procStat struct {
	parent        int
	own, children int64 // ticks
}

func readStat(pid int) (procStat, bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, false
	}
	// The name may hold anything, so the fields are counted from its last parenthesis.
	at := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[at+1:]))
	if at < 0 || len(fields) < 15 {
		return procStat{}, false
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n }
	return procStat{parent: int(number(1)), own: number(11) + number(12), children: number(13) + number(14)}, true
}
