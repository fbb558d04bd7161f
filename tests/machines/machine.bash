# shellcheck shell=bash
# Starts, asks and ends one emulated machine. To be sourced:
#
#   machine_start "$(tests/machines/image bookworm)" suite warm    # a machine that has booted; cold: it boots first
#   machine_run 600 bash /srv/share/tests/machines/cases/founding  # what it prints; its exit code
#   machine_reboot
#   machine_stop
#
# The machine has no network card: a folder shared by 9p carries files, and the serial line says when it is up, so no
# firewall inside can cut it off.

MACHINE_REPO=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
MACHINE_TARGET=$(realpath -m -- "${CARGO_TARGET_DIR:-$MACHINE_REPO/target}")
# shellcheck disable=SC2034 # for those who source this
readonly MACHINE_REPO MACHINE_TARGET MACHINES=$MACHINE_TARGET/machines
# shellcheck disable=SC2034
readonly MACHINE_KERNELS=(suite backports) MACHINE_SHARE=/srv/share
# Emulation, which every host can do; MACHINE_ACCEL=kvm is many times as fast where nested virtualization works.
MACHINE_ACCEL=${MACHINE_ACCEL:-tcg,thread=multi}
MACHINE_DIR='' MACHINE_PID='' MACHINE_BOOTS=0 MACHINE_ASKED=0

machine_die() {
  echo "tests/machines: $*" >&2
  exit 1
}

# COUNTING=1: one processor whose clock counts instructions, a nanosecond each, whatever else runs on this host.
machine_start() { # IMAGE KERNEL cold|warm
  local image=$1 kernel=$2
  local -a pace=(-accel "$MACHINE_ACCEL" -smp 2) disk memory=()
  [[ -z ${COUNTING:-} ]] || pace=(-accel "tcg,thread=single" -smp 1 -icount "shift=0,sleep=off")
  MACHINE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/virt-forward-machine.XXXXXX")
  trap machine_stop EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir -- "$MACHINE_DIR/share"
  mkfifo -- "$MACHINE_DIR/monitor.in" "$MACHINE_DIR/monitor.out" "$MACHINE_DIR/port"
  MACHINE_BOOTS=0
  if [[ $3 == warm ]]; then
    # Changes go to a file that qemu makes and deletes at once.
    disk=("file=$image/$kernel.disk" snapshot=on)
    memory=(-incoming "exec:cat -- $image/$kernel.memory")
    MACHINE_BOOTS=1
    echo "$MACHINE_UP" > "$MACHINE_DIR/console"
  else
    cp --sparse=always --reflink=auto -- "$image/disk" "$MACHINE_DIR/disk"
    disk=("file=$MACHINE_DIR/disk")
    : > "$MACHINE_DIR/console"
  fi
  # The machine ends with the test, also when the test is killed and runs no trap.
  setpriv --pdeathsig KILL qemu-system-x86_64 "${pace[@]}" -cpu max -m 2048 -display none -nodefaults -no-user-config \
    -chardev "file,id=console,path=$MACHINE_DIR/console,append=on" -serial chardev:console \
    -chardev "pipe,id=monitor,path=$MACHINE_DIR/monitor" -mon chardev=monitor,mode=readline \
    -chardev "pipe,id=port,path=$MACHINE_DIR/port" -device virtio-serial-pci \
    -device virtserialport,chardev=port,name=virt-forward.tests \
    -kernel "$image/$kernel.vmlinuz" -initrd "$image/$kernel.initrd" \
    -append "root=/dev/vda rw console=ttyS0 quiet apparmor=1 security=apparmor mitigations=off net.ifnames=0 ${MACHINE_ARGUMENTS:-}" \
    -drive "$(IFS=, && echo "${disk[*]}"),format=raw,if=virtio,cache=unsafe" \
    -fsdev "local,id=share,path=$MACHINE_DIR/share,security_model=none" \
    -device virtio-9p-pci,fsdev=share,mount_tag=share -device virtio-rng-pci "${memory[@]}" \
    > "$MACHINE_DIR/qemu.log" 2>&1 < /dev/null &
  MACHINE_PID=$!
  exec {MACHINE_MONITOR}<> "$MACHINE_DIR/monitor.in"
  # What nobody reads would fill the pipe.
  cat -- "$MACHINE_DIR/monitor.out" > "$MACHINE_DIR/monitor.log" &
  exec {MACHINE_PORT}<> "$MACHINE_DIR/port"
  [[ $3 != warm ]] || machine_resume
}

# Its memory was saved while it stood still, and until all of it is read, the order to go on counts for nothing.
machine_resume() {
  local times=600
  until grep -q 'VM status: running' "$MACHINE_DIR/monitor.log"; do
    machine_is_alive
    ((times-- > 0)) || machine_die "the machine does not go on: $(tail -n 5 -- "$MACHINE_DIR/monitor.log")"
    machine_order cont
    machine_order 'info status'
    sleep 0.2
  done
}

# The agent inside says it on the serial line, once for each boot.
readonly MACHINE_UP='machine-agent: up'

machine_wait_until_up() {
  local times=${MACHINE_LIMIT:-600}
  MACHINE_BOOTS=$((MACHINE_BOOTS + 1))
  while (($(grep -c -F -- "$MACHINE_UP" "$MACHINE_DIR/console") < MACHINE_BOOTS)); do
    machine_is_alive
    ((times-- > 0)) || machine_die "the machine does not come up: $(tail -n 20 -- "$MACHINE_DIR/console")"
    sleep 1
  done
}

machine_is_alive() {
  [[ -e /proc/$MACHINE_PID ]] || machine_die "qemu has ended: $(< "$MACHINE_DIR/qemu.log")"
}

# ---- What it gets --------------------------------------------------------------------------------------------------

# The package, made of the programs that are there.
machine_package() {
  local log=$MACHINES/build-deb.log lock
  mkdir -p -- "$MACHINES"
  exec {lock}>> "$MACHINE_TARGET/packages.lock"
  flock "$lock"
  "$MACHINE_REPO/packaging/build-deb" --no-build > "$log" 2>&1 || machine_die "no package: $(tail -n 20 -- "$log")"
  cp -- "$(tail -n 1 -- "$log")" "$MACHINES/virt-forward.deb"
  exec {lock}>&-
}

# Tests, programs and the package, as the machine sees them in MACHINE_SHARE.
machine_share() {
  local share=$MACHINE_DIR/share
  mkdir -p -- "$share/tests/lab" "$share/tests/live" "$share/target/release"
  cp -r -- "$MACHINE_REPO/tests/machines" "$share/tests/machines"
  cp -r -- "$MACHINE_REPO"/tests/lab/{lib.bash,firewalls.bash,guest,lan,networks} "$share/tests/lab"
  cp -- "$MACHINE_REPO"/tests/live/*.bash "$share/tests/live"
  cp -- "$MACHINE_TARGET"/release/virt-forward{,-hook,-watch,-probe} "$share/target/release"
  cp -- "$MACHINES/virt-forward.deb" "$share"
}

# ---- Asking it -----------------------------------------------------------------------------------------------------

# Has the agent run a command inside, and prints what it prints. 124: it did not end in time.
machine_run() { # SECONDS COMMAND…
  local times=$(($1 * 10)) name status
  shift
  MACHINE_ASKED=$((MACHINE_ASKED + 1))
  name=$MACHINE_ASKED
  printf '%q ' "$@" > "$MACHINE_DIR/share/$name.command"
  echo "$name" >&"$MACHINE_PORT"
  while [[ ! -e $MACHINE_DIR/share/$name.status ]]; do
    machine_is_alive
    if ((times-- == 0)); then
      cat -- "$MACHINE_DIR/share/$name.output" || true
      echo "no end within its time"
      return 124
    fi
    sleep 0.1
  done
  cat -- "$MACHINE_DIR/share/$name.output"
  status=$(< "$MACHINE_DIR/share/$name.status")
  return "$status"
}

machine_reboot() {
  machine_run 60 systemctl --no-block reboot || true
  machine_wait_until_up
}

# Writes the machine's memory to a file; the machine stands still from then on.
machine_save() { # FILE
  local times=1200
  machine_order stop
  machine_order "migrate \"exec:cat > $1.new\""
  while ! { machine_order 'info migrate'; sleep 0.5; grep -q 'Migration status: completed' "$MACHINE_DIR/monitor.log"; }; do
    machine_is_alive
    ((times-- > 0)) || machine_die "its memory is not saved: $(tail -n 5 -- "$MACHINE_DIR/monitor.log")"
  done
  mv -- "$1.new" "$1"
}

machine_order() { # COMMAND
  echo "$1" >&"$MACHINE_MONITOR"
}

machine_stop() {
  local status=$?
  [[ -z $MACHINE_PID ]] || kill -KILL "$MACHINE_PID" 2> /dev/null || true
  [[ -z $MACHINE_PID ]] || wait "$MACHINE_PID" 2> /dev/null || true
  [[ -z $MACHINE_DIR ]] || rm -rf -- "$MACHINE_DIR"
  MACHINE_PID='' MACHINE_DIR=''
  return "$status"
}
