# "make help" lists the targets. Everything here works without Git and without root.

.DEFAULT_GOAL := help
.PHONY: help deps build demo test race bench lint check

# The packages to test: make test PKG=./ledger/...
PKG ?= ./...

# A build that asks Git for its version fails in a copy without .git.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## Find PostgreSQL 15+ and Redis, or install them (DATABASE_URL and REDIS_URL stand in for either)
	@sh -c "$$DEPS"

build: ## Build bin/settled
	go build -o bin/settled ./cmd/settled

demo: deps ## Tell one user's story, then a day at scale with crashes, and audit the books
	go run ./cmd/settled demo

test: deps build ## Run every test on a PostgreSQL and a Redis of its own
	bin/settled dev --fast -- go test $(PKG)

race: deps build ## Run every test with the race detector
	bin/settled dev --fast -- go test -race $(PKG)

bench: deps ## Measure against PostgreSQL's and asynq's own limits
	go run ./cmd/settled bench

lint: ## Check format, vet, and golangci-lint where it is installed
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "lint: gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "lint: golangci-lint is not installed: skipped"; fi

check: lint test ## Everything before a push

# What is missing is installed, and what was taken is said.
define DEPS
set -eu
say() { printf 'deps: %s\n' "$$*"; }
fail() { say "$$*" >&2; exit 1; }

# Prints version and directory of PostgreSQL 15 or newer: PATH first, then the usual places.
find_postgres() {
	in_path=$$(command -v postgres) || in_path=
	found=
	for dir in "$${in_path%/*}" "$$(pg_config --bindir 2>/dev/null)" \
		/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin \
		/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin
	do
		[ -x "$$dir/initdb" ] && [ -x "$$dir/postgres" ] || continue
		version=$$("$$dir/postgres" --version | awk '{ print $$3 }')
		[ "$${version%%[!0-9]*}" -ge 15 ] || continue
		found="PostgreSQL $$version in $$dir"
		break
	done
	[ -n "$$found" ] && echo "$$found"
}

find_redis() {
	path=$$(command -v redis-server) && echo "Redis $$(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/') as $$path"
}

as_root() {
	if [ "$$(id -u)" = 0 ]; then "$$@"
	elif command -v sudo >/dev/null; then sudo "$$@"
	else fail "root rights are needed to install$$missing; install it, or set DATABASE_URL and REDIS_URL to running servers"
	fi
}

command -v go >/dev/null || fail "Go 1.26 or newer is needed: https://go.dev/doc/install"
missing=
[ -n "$${DATABASE_URL:-}" ] || find_postgres >/dev/null || missing=" postgresql"
[ -n "$${REDIS_URL:-}" ] || find_redis >/dev/null || missing="$$missing redis-server"
for program in curl openssl; do # of examples/
	command -v $$program >/dev/null || missing="$$missing $$program"
done
if [ -n "$$missing" ]; then
	say "installing$$missing"
	if command -v apt-get >/dev/null; then
		as_root env DEBIAN_FRONTEND=noninteractive sh -c "$$DEPS_DEBIAN" deps $$missing
	elif command -v brew >/dev/null; then
		brew install $$(echo $$missing | sed 's/postgresql/postgresql@16/; s/redis-server/redis/')
	else
		fail "neither apt-get nor brew is here: install$$missing (PostgreSQL 15 or newer), or set DATABASE_URL and REDIS_URL"
	fi
fi
if [ -n "$${DATABASE_URL:-}" ]; then say "PostgreSQL: the server that DATABASE_URL names"
else
	found=$$(find_postgres) || fail "PostgreSQL 15 or newer was not found; set DATABASE_URL"
	say "$$found"
fi
if [ -n "$${REDIS_URL:-}" ]; then say "Redis: the server that REDIS_URL names"
else
	found=$$(find_redis) || fail "redis-server was not found; set REDIS_URL"
	say "$$found"
fi
endef
export DEPS

# Installs Debian packages, given as arguments, as root. Only the programs are
# wanted: no server may be started, now or at the next boot, and no cluster made.
define DEPS_DEBIAN
set -eu
policy=/usr/sbin/policy-rc.d
conf=/etc/postgresql-common/createcluster.d/settled-deps.conf
our_policy=
undo() {
	rm -f "$$conf"
	rmdir "$${conf%/*}" 2>/dev/null || :
	[ -z "$$our_policy" ] || rm -f "$$our_policy"
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

candidate() { apt-cache policy "$$1" | awk '/Candidate:/ && $$2 != "(none)" { print $$2 }'; }

for package in "$$@"; do
	[ -n "$$(candidate "$$package")" ] || { apt-get update -q; break; }
done
for package in "$$@"; do
	version=$$(candidate "$$package")
	if [ "$$package" = postgresql ] && [ "$${version%%[!0-9]*}" -lt 15 ]; then
		echo "deps: this system offers PostgreSQL $${version%%+*}, and 15 is needed: add PostgreSQL's own apt repository, or set DATABASE_URL" >&2
		exit 1
	fi
done

if [ ! -e "$$policy" ]; then
	our_policy=$$policy
	printf '#!/bin/sh\nexit 101\n' >"$$policy"
	chmod 755 "$$policy"
fi
mkdir -p "$${conf%/*}"
echo 'create_main_cluster = false' >"$$conf"

get() { apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$$@"; }
get "$$@" || { apt-get update -q && get "$$@"; } # the lists may be older than the archive

case " $$* " in *" redis-server "*)
	if [ -d /run/systemd/system ]; then systemctl disable --now redis-server
	elif command -v update-rc.d >/dev/null; then update-rc.d redis-server disable || :
	fi
esac
endef
export DEPS_DEBIAN
