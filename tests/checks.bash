# shellcheck shell=bash
# What tests without a lab count and say; a lab has its own (tests/lab/lib.bash). To be sourced.

passed=0 failed=0

ok() { # WHAT
  passed=$((passed + 1))
  echo "ok     $1"
}

not_ok() { # WHAT WHY
  failed=$((failed + 1))
  echo "FAILED $1"
  printf '       | %s\n' "${2//$'\n'/$'\n       | '}"
}

# Asserts that nothing was found wrong.
nothing() { # WHAT FAULTS
  if [[ -z $2 ]]; then ok "$1"; else not_ok "$1" "$2"; fi
}

# Asserts that two texts are the same.
equal() { # WHAT EXPECTED ACTUAL
  if [[ $2 == "$3" ]]; then
    ok "$1"
  else
    not_ok "$1" "$(diff --label expected --label "but got" -u <(printf '%s\n' "$2") <(printf '%s\n' "$3") || true)"
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
}
