# shellcheck shell=bash
# The hook's own time, by hand, with few and with many networks open.

bench_hook() { # SUITE
  local few=3 many=1000
  bench_lab "$1" "$BENCH_CONFIG" && start_founding_case > /dev/null
  echo "$1: the hook (median of $ROUNDS, run by hand as libvirtd does)"
  bench_bridges 1 $((many + 1))
  on_host bash -s << 'SETUP'
nft add table inet bench
nft add set inet bench one '{ type ifname; }'
nft add set inet bench two '{ type ifname; elements = { "x" } }'
SETUP
  fwx_gate
  bench_open 1 $few
  race_hook > "$LAB_DIR/few"
  bench_open $((few + 1)) $many
  race_hook > "$LAB_DIR/many"
  table_hook "$LAB_DIR/few" "$LAB_DIR/many" $few $many
  printf '  ldd of the hook: %s\n' "$(on_host ldd "$LAB_HOOK" 2>&1 | xargs || true)"
  memory_hook
  echo
}

# What it would cost to keep a gate first in LIBVIRT_FWX, where each start of a network puts a rule above it: taken away
# and put in again in one transaction.
fwx_gate() {
  local gate='LIBVIRT_FWX -m mark --mark 0x10000000/0x10000000 -m comment --comment bench -j ACCEPT'
  on_host iptables -w -N LIBVIRT_FWX 2> /dev/null || true
  printf '*filter\n-A %s\nCOMMIT\n' "$gate" | on_host iptables-restore --noflush
  printf '*filter\n-D %s\n-I %s\nCOMMIT\n' "$gate" "$gate" | put_file /tmp/fwx
}

# One network more comes and goes, bn1001; what is timed never meets it in the state it leaves.
race_hook() {
  local xml=/tmp/bench_1001.xml name=bench_1001
  local start="$LAB_HOOK $name started begin -" stop="$LAB_HOOK $name stopped end -"
  on_host virt-forward-race "$ROUNDS" << RACE
noop|||/usr/local/bin/noop
port-created|$xml||$LAB_HOOK $name port-created begin -
nft-add||nft add element inet bench one '{ "x" }'; nft delete element inet bench one '{ "x" }'|nft add element inet bench one { x }
fwx-move|/tmp/fwx||iptables-restore --noflush
nft-delete||nft add element inet bench two '{ "x" }'|nft delete element inet bench two { x }
started|$xml|$stop < $xml 2> /dev/null|$start
stopped|$xml|$start < $xml 2> /dev/null|$stop
RACE
}

table_hook() { # FEW MANY COUNT-FEW COUNT-MANY
  local few=$1 many=$2 noop add delete operation goal
  noop=$(median "$few" noop) add=$(median "$few" nft-add) delete=$(median "$few" nft-delete)
  line "a static program that does nothing" "$noop" 1 ""
  line "port-created" "$(median "$few" port-created)" "$(ratio "$(median "$few" port-created)" "$noop")" "at most 1.5"
  line "one nft call that adds one set element" "$add" 1 ""
  line "one nft call that deletes one set element" "$delete" "$(ratio "$delete" "$add")" ""
  line "moving a gate to the head of LIBVIRT_FWX" "$(median "$few" fwx-move)" "$(ratio "$(median "$few" fwx-move)" "$add")" "not done"
  for operation in started stopped; do
    goal="at most 2.5"
    line "$operation, $3 networks more" "$(median "$few" "$operation")" "$(ratio "$(median "$few" "$operation")" "$add")" "$goal"
    [[ $operation == started ]] \
      || line "  of one nft call that deletes" "" "$(ratio "$(median "$few" "$operation")" "$delete")" ""
    line "  with $4, of the same with $3" "$(median "$many" "$operation")" \
      "$(ratio "$(median "$many" "$operation")" "$(median "$few" "$operation")")" "at most 1.3"
  done
}

# The hook's own memory: once as it is with few networks, once with many, where it rebuilds the whole table.
memory_hook() {
  on_host nft delete table inet virt_forward
  line_memory "peak memory, rebuilding with 1000 networks" 1
  line_memory "peak memory, one network more" 50
}

line_memory() { # WHAT ROUNDS
  printf '  %-46s %9s kB           %s\n' "$1" "$(peak_memory bench_1001 "$2")" "below 8192"
}

# In kB, of a hook that hears that the network has started.
peak_memory() { # NAME ROUNDS
  on_host nice -n -20 virt-forward-race --peak "$2" "/tmp/$1.xml" "$LAB_HOOK" "$1" started begin -
}
