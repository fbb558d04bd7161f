# shellcheck shell=bash
# What the programs of packaging/ share: where things are, and how they speak. To be sourced.

REPO=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
# Against the caller's folder, as cargo takes it.
TARGET=$(realpath -m -- "${CARGO_TARGET_DIR:-$REPO/target}")
readonly REPO TARGET
# shellcheck disable=SC2034 # for those who source this
readonly BUILT=$TARGET/release CLI=/usr/sbin/virt-forward LIBRARY=/usr/lib/virt-forward STATE=/run/virt-forward \
  CONFIG=/etc/virt-forward/config.toml HOOKS=/etc/libvirt/hooks UNITS=/usr/lib/systemd/system \
  SERVICE=virt-forward.service SHARE=/usr/share POLICY=/usr/lib/firewalld/policies/virt-forward.xml
# Where `virt-forward hook install` may put the hook.
readonly HOOK_PLACES=("$HOOKS/network" "$HOOKS/network.d/50-virt-forward")
# What the hook's program holds and no other does (hook_marker in src/policy/lib.rs).
readonly HOOK_MARKER='virt-forward: this file is its libvirt network hook'

# What is found wrong while the rest goes on. Anything in here makes the exit code 1.
PROBLEMS=()

say() {
  printf '%s\n' "$*"
}

step() {
  printf '* %s\n' "$*" | wrapped
}

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" | wrapped >&2
  exit 1
}

problem() {
  PROBLEMS+=("$*")
}

# For 80 columns, also where it is quoted from somebody else.
wrapped() { # [INDENT]
  local indent=${1:-}
  fold -s -w $((79 - ${#indent})) | sed -e 's/ *$//' -e "s/^/$indent/"
}

has() { # PROGRAM
  command -v -- "$1" > /dev/null 2>&1
}

need_root() {
  ((EUID == 0)) || die "must be run as root: sudo packaging/$(basename -- "$0")"
}

home_of() { # USER
  getent passwd "$1" | cut -d: -f6
}

is_our_hook() { # FILE
  [[ -f $1 ]] && grep -q -a -F -- "$HOOK_MARKER" "$1"
}

# Prints where the hook is in place.
our_hooks() {
  local place
  for place in "${HOOK_PLACES[@]}"; do
    if is_our_hook "$place"; then say "$place"; fi
  done
}

# Whether it is the one that starts the services here, now.
systemd_runs() {
  [[ -d /run/systemd/system ]] && has systemctl
}

# Prints who runs a program of that name. Only in this PID namespace: the daemon of a container is not this machine's.
processes() { # NAME
  local process
  for process in /proc/[0-9]*; do
    if [[ $(cat "$process/comm" 2> /dev/null) == "$1" &&
      $(readlink "$process/ns/pid") == "$(readlink /proc/self/ns/pid)" ]]; then
      say "${process#/proc/}"
    fi
  done
}

# Prints who runs `virt-forward watch`, whoever has started it.
watchers() {
  local process
  # It becomes virt-forward-watch, of which the kernel keeps 15 letters; where that is missing, it stays what it is.
  processes virt-forward-wa
  for process in $(processes virt-forward); do
    if tr '\0' '\n' 2> /dev/null < "/proc/$process/cmdline" | grep -qx watch; then say "$process"; fi
  done
}

# The report's last part.
say_problems() {
  local text
  ((${#PROBLEMS[@]} > 0)) || return 0
  say
  say "NOT done:"
  for text in "${PROBLEMS[@]}"; do
    printf -- '%s\n' "$text" | wrapped '  '
  done
}
