# shellcheck shell=bash
# Packets that must never get through, sent all the while something else goes on. To be sourced, after claims.bash.

# A ping each 10 ms for each pair.
probing_begins() { # FROM:TO…
  local pair
  PROBED=("$@") PROBING=()
  for pair in "$@"; do
    in_guest "${pair%:*}" ping -n -q -i 0.01 "${LAB_ADDRESS[${pair#*:}/4]}" > "$LAB_DIR/probed.$pair" 2>&1 &
    PROBING+=($!)
  done
}

probing_ends() { # WHAT
  local pair said sent
  on_host pkill -INT -x ping || true
  wait "${PROBING[@]}" || true
  for pair in "${PROBED[@]}"; do
    said=$(grep ' packets transmitted, ' "$LAB_DIR/probed.$pair" || cat -- "$LAB_DIR/probed.$pair")
    sent=${said%% *}
    if [[ $said == *" 0 received"* ]] && ((sent >= 50)); then
      ok "$1: ${pair/:/ -> }: of $sent packets none got through"
    else
      not_ok "$1: ${pair/:/ -> }: no packet gets through" "$said"
    fi
  done
}
