package devstack

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"syscall"
)

// PostgresOptions say how a private PostgreSQL runs. The zero value is a durable server.
type PostgresOptions struct {
	// Fast gives up durability for speed: a crash of the machine corrupts the data. Implies InMemory. For tests that
	// do not crash PostgreSQL. Defaults to false.
	Fast bool
	// InMemory holds the data in /dev/shm where there is one with room. The server's promises are as ever, but a reboot
	// ends them. Halves the time that a new server takes; for tests that crash PostgreSQL. Defaults to false.
	InMemory bool
	// MaxConnections is PostgreSQL's max_connections. Defaults to 300.
	MaxConnections int
	// SharedBuffers is PostgreSQL's shared_buffers, with its unit. Defaults to "256MB".
	SharedBuffers string
	// Settings are further settings by name; they win over all others. Defaults to none.
	Settings map[string]string
	// BaseDir is where the server's directory is made. As root it must be a directory that every user can pass through
	// and write to. Defaults to the system's directory for temporary files, or what InMemory says.
	BaseDir string
}

const (
	maxConnectionsDefault = 300 // a day of the demo: api, worker and scheduler with a pool each, and a person's psql
	sharedBuffersDefault  = "256MB"
)

// commandLine returns the settings as arguments of postgres, sorted by name.
func (o PostgresOptions) commandLine() []string {
	settings := map[string]string{
		"max_connections":    strconv.Itoa(maxConnectionsDefault),
		"shared_buffers":     sharedBuffersDefault,
		"listen_addresses":   "127.0.0.1",
		"timezone":           "UTC",
		"jit":                "off", // compiling costs more than these short statements take
		"wal_compression":    "on",
		"max_wal_size":       "4GB", // checkpoints by time, not by volume, within a day of the demo
		"checkpoint_timeout": "15min",
		"log_checkpoints":    "off",
		"synchronous_commit": "on",
		"autovacuum_naptime": "15s",
		// Balances are updated all the time in few rows: clean up after them early, and do not crawl.
		"autovacuum_vacuum_scale_factor":  "0.05",
		"autovacuum_analyze_scale_factor": "0.05",
		"autovacuum_vacuum_cost_limit":    "2000",
	}
	if o.Fast {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["wal_level"] = "minimal"
		settings["max_wal_size"] = "1GB"       // it may lie in memory
		settings["max_wal_senders"] = "0"      // minimal allows none
		settings["autovacuum_naptime"] = "60s" // hundreds of short-lived databases are not worth a visit each
	}
	if o.Fast || o.InMemory {
		settings["max_wal_size"] = "1GB" // the log lies in memory
	}
	if o.MaxConnections > 0 {
		settings["max_connections"] = strconv.Itoa(o.MaxConnections)
	}
	if o.SharedBuffers != "" {
		settings["shared_buffers"] = o.SharedBuffers
	}
	maps.Copy(settings, o.Settings)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", fmt.Sprintf("%s=%s", name, settings[name]))
	}
	return args
}

const (
	// sharedMemory is Linux's file system in memory. It halves the time that a new server and a new database take.
	sharedMemory = "/dev/shm"
	// sharedMemoryFree is what a server may need at most in tests: its log of 1 GB and as much again in tables, twice
	// over because packages are tested side by side. Containers often have 64 MB, which is no use.
	sharedMemoryFree = 4 << 30
	// writable asks access(2) whether a file may be written.
	writable = 2
)

// baseDir returns where the server's directory is made; "" leaves it to the system.
func (o PostgresOptions) baseDir() string {
	var free syscall.Statfs_t
	if o.BaseDir != "" || !o.Fast && !o.InMemory || runtime.GOOS != "linux" || syscall.Statfs(sharedMemory, &free) != nil {
		return o.BaseDir
	}
	if free.Bavail*uint64(free.Bsize) < sharedMemoryFree || syscall.Access(sharedMemory, writable) != nil {
		return o.BaseDir
	}
	return sharedMemory
}
