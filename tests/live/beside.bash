# shellcheck shell=bash
# What the tests beside other firewalls share: cases, each in a lab of its own, and claims that hold in all of them. To be
# sourced.

# shellcheck source=claims.bash
source "$(dirname -- "${BASH_SOURCE[0]}")/claims.bash"
# shellcheck source=../lab/firewalls.bash
source "$LAB_HOME/firewalls.bash"

# kube05 is in no group: it stays outside.
# shellcheck disable=SC2034 # for those who source this
readonly KUBE='[[group]]
name = "kube"
networks = ["kube02", "kube03"]'

# ---- Claims --------------------------------------------------------------------------------------------------------

# Of ours, in anybody's rules.
no_trace() { # WHO
  equal "$1 no trace" "" "$(on_host bash -c '
    { nft list ruleset; iptables-save; ip6tables-save
      [[ ! -s /proc/net/ip_tables_names ]] || iptables-legacy-save
      [[ ! -s /proc/net/ip6_tables_names ]] || ip6tables-legacy-save; } 2> /dev/null | grep -i virt.forward')"
}

status_is() { # EXIT-CODE
  local status=0 said
  said=$(on_host virt-forward status --check 2>&1) || status=$?
  if ((status == $1)); then
    ok "virt-forward status --check: exit $1"
  else
    not_ok "virt-forward status --check: exit $1" "exit $status"$'\n'"$said"
  fi
}

# Older iptables give up a whole table with a rule that they do not know.
lists_are_well() {
  local program output
  for program in 'iptables -w -S' 'ip6tables -w -S' iptables-save ip6tables-save; do
    # shellcheck disable=SC2086 # a command and its options
    if output=$(on_host $program 2>&1) && [[ $output != *incompatible* ]]; then
      ok "$program works"
    else
      not_ok "$program works" "$output"
    fi
  done
}

# ---- Cases in lanes ------------------------------------------------------------------------------------------------

# Keeps a line until all lanes have ended. RESULTS holds those of all then; of each lane "counts PASSED FAILED" at least.
note_down() { # WORD…
  echo "$*" >> "$RESULTS.$NUMBER.found"
}

# Each case in a lab of its own.
run_cases() { # NUMBER CASE…
  local name start
  NUMBER=$1
  shift
  for name in "$@"; do
    start=$SECONDS
    lab_start "$SUITE"
    lab_note "$name"
    "case_$name"
    lab_stop
    lab_note "$name took $((SECONDS - start)) s"
  done
  note_down counts "$LAB_PASSED" "$LAB_FAILED"
}

# The cases wait most of the time, so some at once, with the output of each lane in one piece.
run_lanes() { # LANE…
  local lane pids=() number=0
  for lane in "$@"; do
    # shellcheck disable=SC2086 # words
    run_cases "$number" $lane > "$RESULTS.$number.said" 2>&1 &
    pids+=($!)
    number=$((number + 1))
  done
  for ((number = 0; number < ${#pids[@]}; number++)); do
    wait "${pids[number]}" || not_ok "the cases ${*:number + 1:1} came to an end"
    cat -- "$RESULTS.$number.said"
    cat -- "$RESULTS.$number.found" >> "$RESULTS" 2> /dev/null || true
  done
  LAB_PASSED=$(awk '$1 == "counts" { sum += $2 } END { print sum + 0 }' "$RESULTS")
  LAB_FAILED=$((LAB_FAILED + $(awk '$1 == "counts" { sum += $3 } END { print sum + 0 }' "$RESULTS")))
}

end_lanes() {
  local pids
  mapfile -t pids < <(jobs -p)
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2> /dev/null || true
  rm -f -- "$RESULTS"*
}

# Runs the cases that are named, or all of them in LANES.
begin() { # [SUITE [CASE…]]
  readonly SUITE=${1:-bookworm}
  LAB_SUITE=$SUITE
  shift || true
  RESULTS=$(mktemp)
  trap end_lanes EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if (($# > 0)); then run_lanes "$*"; else run_lanes "${LANES[@]}"; fi
}
