# shellcheck shell=bash
# Packets that must never get through, sent all the while something else goes on. To be sourced, after claims.bash.

# By pair: how many were sent so far, and how many answered.
declare -A SENT=() ANSWERED=()

# A ping each 10 ms for each pair.
probing_begins() { # FROM:TO…
  PROBED=("$@") SENT=() ANSWERED=()
  probing_goes_on
}

probing_goes_on() {
  local pair
  PROBING=()
  for pair in "${PROBED[@]}"; do
    in_guest "${pair%:*}" ping -n -q -i 0.01 "${LAB_ADDRESS[${pair#*:}/4]}" > "$LAB_DIR/probed.$pair" 2>&1 &
    PROBING+=($!)
  done
}

# Not by SIGSTOP: who waits for a stopped one in another PID namespace stops as well, for good.
probing_pauses() {
  local pair
  lab_wait_for 100 probes_end || lab_die "a ping does not end"
  wait "${PROBING[@]}" || true
  for pair in "${PROBED[@]}"; do
    [[ $(< "$LAB_DIR/probed.$pair") =~ ([0-9]+)\ packets\ transmitted,\ ([0-9]+)\ received ]] || continue
    SENT[$pair]=$((${SENT[$pair]:-0} + BASH_REMATCH[1]))
    ANSWERED[$pair]=$((${ANSWERED[$pair]:-0} + BASH_REMATCH[2]))
  done
}

# One that has just begun hears of it the next time.
probes_end() {
  local process
  on_host pkill -INT -f 'ping -n -q' || true
  for process in "${PROBING[@]}"; do [[ ! -e /proc/$process ]] || return 1; done
}

probing_ends() { # WHAT
  local pair
  probing_pauses
  for pair in "${PROBED[@]}"; do
    equal "$1: ${pair/:/ -> }: of ${SENT[$pair]:-0} packets none is answered" 0 "${ANSWERED[$pair]:-none was sent}"
    check "$1: ${pair/:/ -> }: some were sent" test "${SENT[$pair]:-0}" -ge 50
  done
}
