# shellcheck shell=bash
# UDP round trips between two guests, with libvirt's rules of few and of many networks: what we open, libvirt's own
# routed mode, and the script that people use today.

COUNT=20000
readonly PINNED_PORT=7100

bench_packets() { # SUITE
  local few=3 many=300 switch
  # The routed pair is in no group, so that only libvirt's rules let it through.
  bench_lab "$1" '[[group]]
name = "kube"
networks = ["kube0[35]"]'
  echo "$1: UDP round trip between two guests (median of $COUNT, then of $SWITCHES switches)"
  bench_guests
  save_rules
  for ((switch = 0; switch < SWITCHES; switch++)); do
    round_trips "$few"
    add_rules "$many"
    round_trips "$many"
    restore_rules
  done
  [[ $1 == trixie ]] || pair_script 100
  table_packets "$few" "$many"
  echo
}

# kube03 and kube05 (nat) are opened by us; kube02 and extra are routed by libvirt alone.
bench_guests() {
  sed "s/mode='nat'/mode='route'/" "$LAB_HOME/networks/extra.xml" | put_file /tmp/extra.xml
  on_host virsh -q net-define /tmp/extra.xml
  start_networks kube02 kube03 kube05 extra > /dev/null
  for network in kube02 kube03 kube05 extra; do guest_add "$network" > /dev/null; done
  # On the client's own processor: waking another one takes longer than the way there and back.
  for network in kube05 extra; do
    lab_in_background nsenter --net="/run/netns/$network" taskset -c 0 virt-forward-probe serve "$PINNED_PORT"
  done
}

round_trips() { # NAME-SUFFIX
  round_trip ours "$1" kube03 kube05
  round_trip routed "$1" kube02 extra
}

round_trip() { # WHAT SUFFIX FROM TO
  local json
  json=$(in_guest "$3" taskset -c 0 virt-forward-probe udp-rtt "$(lab_address "$4" 4)" "$PINNED_PORT" \
    --count "$COUNT" --warmup 2000)
  sed -n 's/.*"median": *\([0-9.]*\).*/\1/p' <<< "$json" >> "$LAB_DIR/rtt.$1.$2"
}

save_rules() {
  if [[ $LAB_SUITE == trixie ]]; then
    on_host nft -s list table ip libvirt_network > "$LAB_DIR/rules"
  else
    on_host iptables-save > "$LAB_DIR/rules"
  fi
}

add_rules() { # COUNT
  if [[ $LAB_SUITE == trixie ]]; then
    bench_nft_rules "$1" | on_host nft -f -
  else
    bench_iptables_rules "$1" | on_host iptables-restore --noflush
  fi
}

restore_rules() {
  if [[ $LAB_SUITE == trixie ]]; then
    { echo 'flush table ip libvirt_network' && cat "$LAB_DIR/rules"; } | on_host nft -f -
  else
    on_host iptables-restore < "$LAB_DIR/rules"
  fi
}

# One accept for each ordered pair of COUNT networks at the head of FORWARD, the pair that is measured in the middle.
pair_script() { # COUNT
  local a b pair
  pair="-I FORWARD -i ${LAB_BRIDGE[kube03]} -o ${LAB_BRIDGE[kube05]} -j ACCEPT
-I FORWARD -i ${LAB_BRIDGE[kube05]} -o ${LAB_BRIDGE[kube03]} -j ACCEPT"
  on_host virt-forward remove --all > /dev/null
  {
    echo '*filter'
    for ((a = 1; a <= $1; a++)); do
      ((a != $1 / 2)) || echo "$pair"
      for ((b = 1; b <= $1; b++)); do
        ((a == b)) || echo "-I FORWARD -s $(bench_subnet "$a").0/24 -d $(bench_subnet "$b").0/24 -i bn$a -o bn$b -j ACCEPT"
      done
    done
    echo 'COMMIT'
  } | on_host iptables-restore --noflush
  COUNT=2000 round_trip script "$1" kube03 kube05
}

table_packets() { # FEW MANY
  local ours routed many
  ours=$(rtt ours "$1") many=$(rtt ours "$2") routed=$(rtt routed "$1")
  line "opened by us, libvirt's rules of $1 networks" "$ours" 1 ""
  line "  with the rules of $2 more" "$many" "$(ratio "$many" "$ours")" "at most 1.05"
  line "libvirt's own routed mode, $1 networks" "$routed" "$(ratio "$routed" "$ours")" ""
  line "  with the rules of $2 more" "$(rtt routed "$2")" "$(ratio "$(rtt routed "$2")" "$ours")" ""
  [[ ! -e $LAB_DIR/rtt.script.100 ]] \
    || line "a rule for each pair of 100 networks, by iptables" "$(rtt script 100)" "$(ratio "$(rtt script 100)" "$ours")" ""
}

rtt() { # WHAT SUFFIX
  sort -n "$LAB_DIR/rtt.$1.$2" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
