# What the scripts share. Each sources this file first: it moves to the top of the tree and makes errors fatal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# may_install: whether this user can install Debian packages without being asked anything.
may_install() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# install PACKAGE…: from Debian, quietly; the log is shown only if it fails. The lists are fetched when the ones at hand do not do.
install() {
  local log
  log=$(mktemp)
  say "Installing Debian packages: $*"
  if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
         { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# present PROBE: a command on the path (of root too), or a file.
present() { [ -e "$1" ] || command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
