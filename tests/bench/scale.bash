# shellcheck shell=bash
# What it costs as networks become many: the hook, the command, and every packet, beside other ways to open networks.
#
# libvirt itself takes seconds for each network when there are thousands (a dnsmasq for each, a program for each rule). So a
# real libvirtd starts one network of each mode, its rules are copied for as many networks as are asked for, and the
# networks are bridges with the XML that libvirtd would hand to the hook, and the status files that the command reads while
# no daemon answers.

readonly SCALE_EXTRA=9999 SCALE_PAIRS_MOST=300 SCALE_FIREWALLD_SECONDS=90
# The ways that are compared; what does not work on a host is left out there.
readonly SCALE_WAYS=(plain ours routed routed-middle no-rejects pairs-iptables pairs-nft firewalld)

bench_scale() { # SUITE
  local size last=0 sizes
  mapfile -t sizes < <(tr , '\n' <<< "$SCALE_SIZES" | sort -n)
  SCALE_CAN=" ${SCALE_WAYS[*]} "
  scale_lab "$1"
  for size in "${sizes[@]}"; do
    echo "$1: $size networks" >&2
    scale_more_networks "$last" "$size"
    scale_hook "$size"
    last=$size
    if ((size < 2)); then
      # For a packet to go from one to the other.
      last=2
      scale_more_networks "$size" 2
      scale_rules nat first 2 | scale_add host
      on_host virt-forward apply > /dev/null 2>&1
    fi
    scale_packets "$last"
  done
  # All at once: one after the other, at the lab's end, they keep the kernel busy for minutes.
  on_host ip link delete group 7
  if [[ -n $SCALE_SHORT ]]; then scale_claims "${sizes[@]}" && finish; fi
}

# A figure of this run.
figure() { # SIZE WAY METRIC VALUE
  printf '%s\t%s\t%s\t%s\t%s\n' "$LAB_SUITE" "$@" >> "$SCALE_DATA"
}

# ---- The host ------------------------------------------------------------------------------------------------------

scale_lab() { # SUITE
  local way
  bench_lab "$1" "$BENCH_CONFIG"
  start_bus
  start_networks extra
  scale_rules_of_libvirt > "$LAB_DIR/rules.nat"
  stop_networks extra
  on_host virsh -q net-undefine extra > /dev/null
  sed "s/mode='nat'/mode='route'/" "$LAB_HOME/networks/extra.xml" | put_file /tmp/extra.xml
  on_host virsh -q net-define /tmp/extra.xml > /dev/null
  start_networks extra
  scale_rules_of_libvirt > "$LAB_DIR/rules.route"
  stop_networks extra
  stop_libvirtd
  scale_save > "$LAB_DIR/skeleton"
  for way in "${SCALE_WAYS[@]}"; do scale_place "$way"; done
  bench_bridges $SCALE_EXTRA $SCALE_EXTRA
}

# What libvirt's chains hold of its one network, in a form to be copied: BRIDGE and NET instead of its own, with the chain
# or table first.
scale_rules_of_libvirt() {
  if [[ $LAB_SUITE == trixie ]]; then
    on_host nft -s list table ip libvirt_network | awk '$1 == "chain" { chain = $2 } { $1 = $1; print chain, $0 }'
  else
    on_host iptables-save | awk '/^\*/ { table = substr($0, 2) } /^-A LIBVIRT_(FW[XIO]|PRT) / { print table, $0 }'
  fi | grep -F -e virbr_extra -e 10.17.6. | sed -E 's/"?virbr_extra"?/BRIDGE/g; s/10\.17\.6\.0/NET/g'
}

# The rules of the host that packets meet, for scale_load.
scale_save() {
  if [[ $LAB_SUITE == trixie ]]; then
    on_host nft -s list table ip libvirt_network
  else
    on_host iptables-save
  fi
}

# Networks from AFTER + 1 to LAST, known to the command as well.
scale_more_networks() { # AFTER LAST
  bench_bridges $(($1 + 1)) "$2"
  # shellcheck disable=SC2016 # the inner shell expands it
  on_host bash -c 'mkdir -p /run/libvirt/network
    for ((n = $1; n <= $2; n++)); do echo "/tmp/bench_$n.xml"; done | xargs -r ln -s -t /run/libvirt/network' \
    bash $(($1 + 1)) "$2"
}

# libvirt's rules for COUNT networks: bench_1 and bench_2 came first, so theirs are the last of their chains, or came when
# half of the others were there.
scale_rules() { # nat|route first|middle COUNT
  local half=$((2 + ($3 - 2) / 2)) order
  case $2 in
    first) order=$(seq "$3" -1 1) ;;
    middle) order="$(seq "$3" -1 $((half + 1))) 2 1 $(seq "$half" -1 3)" ;;
  esac
  # The kernel knows no interface of that number, as it knows none of these bridges where packets are measured.
  awk -v order="$(xargs <<< "$order")" -v is_nft="$([[ $LAB_SUITE != trixie ]] || echo 1)" '
    function of(rule, n,    net, bridge) {
      net = "10." 128 + int(n / 256) "." n % 256 ".0"
      bridge = is_nft ? (n < 3 ? "\"bn" n "\"" : n + 100000) : "bn" n
      gsub(/NET/, net, rule)
      gsub(/BRIDGE/, bridge, rule)
      return rule
    }
    { group = $1; sub(/^[^ ]+ /, ""); rule[NR] = $0; groups[group] = 1; of_group[NR] = group }
    END {
      count = split(order, number, " ")
      for (group in groups) {
        if (is_nft) print "flush chain ip libvirt_network " group
        else {
          print "*" group
          split("", seen)
          for (r = 1; r <= NR; r++) {
            split(rule[r], word, " ")
            if (of_group[r] == group && !seen[word[2]]++) print ":" word[2] " - [0:0]"
          }
        }
        for (i = 1; i <= count; i++)
          for (r = 1; r <= NR; r++)
            if (of_group[r] == group)
              print (is_nft ? "add rule ip libvirt_network " group " " : "") of(rule[r], number[i])
        if (!is_nft) print "COMMIT"
      }
    }' "$LAB_DIR/rules.$1"
}

# Puts rules in, beside those that are there.
scale_add() { # PLACE < RULES
  if [[ $LAB_SUITE == trixie ]]; then in_guest "$1" nft -f -; else in_guest "$1" iptables-restore --noflush; fi
}

# ---- The hook and the command --------------------------------------------------------------------------------------

scale_hook() { # COUNT
  local times=$LAB_DIR/times operation
  on_host virt-forward remove --all > /dev/null
  scale_rules nat first "$1" | scale_add host
  [[ -z $SCALE_SHORT ]] || snapshot "before $1"
  on_host nft -f - << 'SETUP'
add table inet bench
delete table inet bench
add table inet bench
add set inet bench one { type ifname; }
add set inet bench two { type ifname; elements = { "x" } }
SETUP
  on_host virt-forward apply > /dev/null 2>&1
  race_scale > "$times"
  on_host virt-forward-race "$SCALE_SLOW" << RACE >> "$times"
apply|||virt-forward apply
apply-one|||virt-forward apply bench_1
rebuild||nft delete table inet virt_forward|virt-forward apply
remove-all||virt-forward apply > /dev/null 2>&1|virt-forward remove --all
RACE
  for operation in noop nft-add nft-delete port-created started stopped apply apply-one rebuild remove-all; do
    figure "$1" hook "$operation" "$(median "$times" "$operation")"
  done
  on_host nft delete table inet bench
  [[ -z $SCALE_SHORT ]] || same_as "before $1" "with $1 networks, what is removed leaves the rules as they were"
  on_host virt-forward apply > /dev/null 2>&1
  # By itself it rebuilds once its table is gone: that is when it needs most.
  on_host nft delete table inet virt_forward
  figure "$1" hook memory "$(peak_memory "bench_$SCALE_EXTRA" 1)"
  on_host virt-forward apply > /dev/null 2>&1
}

race_scale() {
  local name=bench_$SCALE_EXTRA xml=/tmp/bench_$SCALE_EXTRA.xml
  local start="$LAB_HOOK $name started begin -" stop="$LAB_HOOK $name stopped end -"
  on_host virt-forward-race "$SCALE_ROUNDS" << RACE
noop|||/usr/local/bin/noop
port-created|$xml||$LAB_HOOK $name port-created begin -
nft-add||nft add element inet bench one '{ "x" }'; nft delete element inet bench one '{ "x" }'|nft add element inet bench one { x }
nft-delete||nft add element inet bench two '{ "x" }'|nft delete element inet bench two { x }
started|$xml|$stop < $xml 2> /dev/null|$start
stopped|$xml|$start < $xml 2> /dev/null|$stop
RACE
}

# ---- Packets -------------------------------------------------------------------------------------------------------

# A host of its own for each way: two networks, a guest in each, and nothing but the rules of that way.
scale_place() { # WAY
  on_host bash -s -- "$1" << 'EOF'
host=$1.host
ip netns add "$host"
# Without br_netfilter, as on most hosts: where the kernel has it built in, it is on in each new namespace.
ip netns exec "$host" sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
ip netns exec "$host" sysctl -q -e -w net.bridge.bridge-nf-call-iptables=0
ip -n "$host" link set lo up
ip -n "$host" link add many type bridge
ip -n "$host" link set many up
for n in 1 2; do
  guest=$1.guest$n
  ip netns add "$guest"
  ip -n "$guest" link set lo up
  ip -n "$host" link add "bn$n" type bridge
  ip -n "$host" addr add "10.128.$n.1/24" dev "bn$n"
  ip -n "$host" link set "bn$n" up
  ip -n "$guest" link add eth0 type veth peer name "tap$n" netns "$host"
  ip -n "$host" link set "tap$n" master "bn$n" up
  ip -n "$guest" link set eth0 up
  ip -n "$guest" addr add "10.128.$n.21/24" dev eth0
  ip -n "$guest" route add default via "10.128.$n.1"
done
EOF
}

scale_packets() { # COUNT
  local way name metric value ways=()
  for way in "${SCALE_WAYS[@]}"; do
    scale_does "$way" "$1" || continue
    scale_routes "$way" "$1"
    "scale_load_$way" "$1"
    # What could not be loaded with so many is not tried with more.
    [[ $SCALE_CAN != *" $way "* ]] || ways+=("$way")
  done
  for way in "${ways[@]}"; do
    echo "$way /run/netns/$way.guest1 /run/netns/$way.guest2 10.128.2.21"
  done | on_host nice -n -20 taskset -c 1 virt-forward-traffic "$SCALE_PACKET_ROUNDS" "$SCALE_SLICE" > "$LAB_DIR/traffic" ||
    lab_die "$LAB_SUITE: no figures with $1 networks"
  # Without us they would be refused, or pass because nobody has a rule for them.
  [[ $(in_guest ours.host nft list chain inet virt_forward open) =~ packets\ [1-9] ]] ||
    lab_die "$LAB_SUITE: nothing was let through by our table"
  while read -r name metric value; do figure "$1" "$name" "$metric" "$value"; done < "$LAB_DIR/traffic"
}

scale_does() { # WAY COUNT
  [[ $SCALE_CAN == *" $1 "* ]] || return
  case $1 in
    # An accept of iptables' own opens nothing where libvirt's rules are in a table of their own.
    pairs-iptables) [[ $LAB_SUITE == bookworm ]] && (($2 <= SCALE_PAIRS_MOST)) ;;
    pairs-nft) (($2 <= SCALE_PAIRS_MOST)) ;;
  esac
}

# As many routes as the host would have.
scale_routes() { # WAY COUNT
  seq 3 "$2" | awk '{ print "route replace 10." 128 + int($1 / 256) "." $1 % 256 ".0/24 dev many" }' |
    in_guest "$1.host" ip -batch -
}

# The place has RULES, in the form of scale_save, and nothing else.
scale_load() { # WAY < RULES
  in_guest "$1.host" nft flush ruleset
  if [[ $LAB_SUITE == trixie ]]; then in_guest "$1.host" nft -f -; else in_guest "$1.host" iptables-restore; fi
}

scale_load_plain() {
  in_guest plain.host nft flush ruleset
}

# What libvirt and virt-forward really have on the host.
scale_load_ours() {
  scale_save | scale_load ours
  on_host nft -s list table inet virt_forward | in_guest ours.host nft -f -
}

scale_load_routed() { # COUNT
  scale_load routed < "$LAB_DIR/skeleton"
  scale_rules route first "$1" | scale_add routed.host
}

scale_load_routed-middle() { # COUNT
  scale_load routed-middle < "$LAB_DIR/skeleton"
  scale_rules route middle "$1" | scale_add routed-middle.host
}

scale_load_no-rejects() { # COUNT
  scale_load no-rejects < "$LAB_DIR/skeleton"
  scale_rules nat first "$1" | sed -E '/ reject( |$)| -j REJECT/d' | scale_add no-rejects.host
}

scale_load_pairs-iptables() { # COUNT
  scale_load pairs-iptables < "$LAB_DIR/skeleton"
  scale_rules nat first "$1" | scale_add pairs-iptables.host
  { echo '*filter' && scale_pairs "$1" '-I FORWARD -s %s -d %s -i %s -o %s -j ACCEPT' && echo COMMIT; } |
    in_guest pairs-iptables.host iptables-restore --noflush
}

scale_load_pairs-nft() { # COUNT
  local chain='ip filter FORWARD'
  [[ $LAB_SUITE != trixie ]] || chain='ip libvirt_network forward'
  scale_load pairs-nft < "$LAB_DIR/skeleton"
  scale_rules nat first "$1" | scale_add pairs-nft.host
  scale_pairs "$1" "insert rule $chain ip saddr %s ip daddr %s iifname %s oifname %s accept" |
    in_guest pairs-nft.host nft -f -
}

# A rule for each ordered pair of networks, the two that are measured in the middle.
scale_pairs() { # COUNT FORMAT
  awk -v count="$1" -v format="$2\n" '
    function put(a, b) { printf format, net(a), net(b), "bn" a, "bn" b }
    function net(n) { return "10." 128 + int(n / 256) "." n % 256 ".0/24" }
    BEGIN {
      for (a = 1; a <= count; a++) {
        if (a == int(count / 2)) { put(1, 2); put(2, 1) }
        for (b = 1; b <= count; b++) if (a != b && a + b != 3) put(a, b)
      }
    }'
}

# Networks of mode open, in which libvirt has no rules, in a zone with a policy that lets them reach each other.
scale_load_firewalld() { # COUNT
  local n from=$SECONDS
  {
    echo '<zone>'
    for ((n = 1; n <= $1; n++)); do echo "<interface name=\"bn$n\"/>"; done
    echo '</zone>'
  } | put_file /etc/firewalld/zones/bench.xml
  put_file /etc/firewalld/policies/bench-all.xml <<< \
    '<policy target="ACCEPT"><ingress-zone name="bench"/><egress-zone name="bench"/></policy>'
  in_guest firewalld.host nft flush ruleset
  lab_daemon firewalld nsenter --net=/run/netns/firewalld.host firewalld --nofork --nopid
  until on_host firewall-cmd --state > /dev/null 2>&1; do
    if ((SECONDS - from > SCALE_FIREWALLD_SECONDS)); then
      lab_note "firewalld has not loaded $1 networks after $SCALE_FIREWALLD_SECONDS s"
      SCALE_CAN=${SCALE_CAN/ firewalld / }
      break
    fi
    sleep 0.2
  done
  # Its rules stay when it is killed.
  kill_firewalld
}

kill_firewalld() {
  local pid
  pid=$(lab_daemon_pid firewalld)
  on_host kill -s KILL "$pid"
  lab_wait_for 250 lab_process_gone "$pid" || lab_die "firewalld ($pid) would not end"
}

# ---- What the short form claims ------------------------------------------------------------------------------------

# Every measurement has yielded a number. None of how large it is.
scale_claims() { # SIZE…
  local size metric way
  for size in "$@"; do
    for metric in noop nft-add nft-delete port-created started stopped apply apply-one rebuild remove-all memory; do
      scale_claim "$size" hook "$metric"
    done
    for way in "${SCALE_WAYS[@]}"; do
      [[ $way != pairs-iptables || $LAB_SUITE == bookworm ]] || continue
      for metric in packets rtt connections bulk; do scale_claim $((size < 2 ? 2 : size)) "$way" "$metric"; done
    done
  done
}

scale_claim() { # SIZE WAY METRIC
  local value
  value=$(awk -F '\t' -v OFS=' ' -v wanted="$LAB_SUITE $1 $2 $3" '$1 " " $2 " " $3 " " $4 == wanted { print $5 }' "$SCALE_DATA")
  check "with $1 networks, $2: $3 is measured" grep -q -x -E '[0-9]*[1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9]' <<< "$value"
}
