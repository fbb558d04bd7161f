# shellcheck shell=bash
# The hook's own time, by hand, with few and with many networks open.

# The network that comes and goes.
readonly BENCH_ONE=9999

bench_hook() { # SUITE
  local few=3 many=1000 most=4000
  bench_lab "$1" "$BENCH_CONFIG" && start_founding_case > /dev/null
  echo "$1: the hook (median of $ROUNDS, run by hand as libvirtd does)"
  bench_bridges 1 $most
  bench_bridges $BENCH_ONE $BENCH_ONE
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
  table_hook "$LAB_DIR/few" $few
  table_ratios "$LAB_DIR/few" $few "$LAB_DIR/many" $many "at most 1.1"
  memory_hook "$many"
  bench_open $((many + 1)) $most
  race_hook > "$LAB_DIR/most"
  table_ratios "$LAB_DIR/few" $few "$LAB_DIR/most" $most "at most 1.25"
  printf '  ldd of the hook: %s\n' "$(on_host ldd "$LAB_HOOK" 2>&1 | xargs || true)"
  # All at once: one after the other, at the lab's end, they keep the kernel busy for minutes.
  on_host ip link delete group 7
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

# One network more comes and goes; what is timed never meets it in the state it leaves.
race_hook() {
  local xml=/tmp/bench_$BENCH_ONE.xml name=bench_$BENCH_ONE
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

table_hook() { # FEW COUNT
  local few=$1 noop add delete operation
  noop=$(median "$few" noop) add=$(median "$few" nft-add) delete=$(median "$few" nft-delete)
  line "a static program that does nothing" "$noop" 1 ""
  line "port-created" "$(median "$few" port-created)" "$(ratio "$(median "$few" port-created)" "$noop")" "at most 1.5"
  line "one nft call that adds one set element" "$add" 1 ""
  line "one nft call that deletes one set element" "$delete" "$(ratio "$delete" "$add")" ""
  line "moving a gate to the head of LIBVIRT_FWX" "$(median "$few" fwx-move)" "$(ratio "$(median "$few" fwx-move)" "$add")" "not done"
  for operation in started stopped; do
    line "$operation, $2 networks more" "$(median "$few" "$operation")" "$(ratio "$(median "$few" "$operation")" "$add")" \
      "at most 2.5"
    [[ $operation == started ]] \
      || line "  of one nft call that deletes" "" "$(ratio "$(median "$few" "$operation")" "$delete")" ""
  done
}

table_ratios() { # FEW COUNT MANY COUNT GOAL
  local operation
  for operation in started stopped; do
    line "$operation with $4, of the same with $2" "$(median "$3" "$operation")" \
      "$(ratio "$(median "$3" "$operation")" "$(median "$1" "$operation")")" "$5"
  done
}

# The hook's own memory: once as it is with few networks, once with many, where it rebuilds the whole table.
memory_hook() { # COUNT
  on_host nft delete table inet virt_forward
  line_memory "peak memory, rebuilding with $1 networks" 1
  line_memory "peak memory, one network more" 50
}

line_memory() { # WHAT ROUNDS
  printf '  %-46s %9s kB           %s\n' "$1" "$(peak_memory bench_$BENCH_ONE "$2")" "below 8192"
}

# In kB, of a hook that hears that the network has started.
peak_memory() { # NAME ROUNDS
  on_host nice -n -20 virt-forward-race --peak "$2" "/tmp/$1.xml" "$LAB_HOOK" "$1" started begin -
}
