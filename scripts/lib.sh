# What the scripts share. Each sources this file first: it moves to the top of the tree and makes errors fatal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# may_install: whether this user can install Debian packages without being asked anything.
may_install() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# install PACKAGE…: from Debian, quietly; the log is shown only if it fails. The lists are fetched when the ones at hand do not do.
# No service begins with its package in runlevel 1; under systemd one does: no_service.
install() {
  local log get=(as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get)
  log=$(mktemp)
  say "Installing Debian packages: $*"
  if ! { "${get[@]}" install -y --no-install-recommends "$@" ||
         { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends "$@"; }; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# no_service NAME: neither now nor when the machine starts.
no_service() {
  as_root update-rc.d "$1" disable
  [ ! -d /run/systemd/system ] || as_root systemctl stop "$1"
}

# present PROBE: a command on the path (of root too), or a file.
present() { [ -e "$1" ] || command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
