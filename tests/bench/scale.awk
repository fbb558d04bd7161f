# The figures of tests/bench/run scale as tables, and whether the goals hold.
#
#   awk -f tests/bench/scale.awk target/scale.tsv
#
# Each line of the file: SUITE SIZE WAY METRIC VALUE, with tabs between them.

BEGIN {
  FS = "\t"
  split("packets rtt connections bulk", metric, " ")
  title["packets"] = "packets/s"; title["rtt"] = "round trip, us"
  title["connections"] = "connections/s"; title["bulk"] = "TCP, MB/s"
}

{
  value[$1, $2, $3, $4] = $5
  if (!seen["suite " $1]++) suites[++suite_count] = $1
  if (!seen[$1 " size " $2 ($3 == "hook")]++) {
    if ($3 == "hook") hook_sizes[$1] = hook_sizes[$1] " " $2
    else sizes[$1] = sizes[$1] " " $2
  }
  if ($3 == "hook") { if (!seen["operation " $4]++) operations[++operation_count] = $4 }
  else if (!seen["way " $3]++) ways[++way_count] = $3
}

END {
  for (s = 1; s <= suite_count; s++) {
    suite = suites[s]
    hook(suite)
    traffic(suite)
    goals(suite)
  }
}

function hook(suite,    count, size, o, i, operation, v) {
  count = split(hook_sizes[suite], size, " ")
  printf "%s: hook and command, milliseconds (memory: MB) with that many open networks\n", suite
  printf "  %-16s", ""
  for (i = 1; i <= count; i++) printf " %9d", size[i]
  print ""
  for (o = 1; o <= operation_count; o++) {
    operation = operations[o]
    printf "  %-16s", operation
    for (i = 1; i <= count; i++) {
      v = value[suite, size[i], "hook", operation]
      printf " %9s", v == "" ? "-" : sprintf("%.1f", v / (operation == "memory" ? 1024 : 1000))
    }
    print ""
  }
  print ""
}

# How much faster or slower than ours stands behind each figure: above 1 it is better than ours.
function traffic(suite,    count, size, m, w, i, v) {
  count = split(sizes[suite], size, " ")
  for (m = 1; m in metric; m++) {
    printf "%s: %s, and of ours", suite, title[metric[m]]
    printf "\n  %-16s", ""
    for (i = 1; i <= count; i++) printf " %15d", size[i]
    print ""
    for (w = 1; w <= way_count; w++) {
      printf "  %-16s", ways[w]
      for (i = 1; i <= count; i++) {
        v = value[suite, size[i], ways[w], metric[m]]
        if (v == "") printf " %15s", "-"
        else printf " %8d %6s", v + 0.5, sprintf("%.2f", better(suite, size[i], ways[w], "ours", metric[m]))
      }
      print ""
    }
    print ""
  }
}

# ONE's figure as a part of OTHER's, above 1 where it is better.
function better(suite, size, one, other, metric,    a, b) {
  a = value[suite, size, one, metric]
  b = value[suite, size, other, metric]
  if (a + 0 == 0 || b + 0 == 0) return 0
  return metric == "rtt" ? b / a : a / b
}

function goals(suite,    count, size, i) {
  count = split(sizes[suite], size, " ")
  for (i = 1; i <= count; i++) {
    if (size[i] == 3) goal(suite, 3, "routed", 0.97, "within 3 % of libvirt's routed mode")
    if (size[i] == 300) goal(suite, 300, "routed", 3.5, "at least 3.5 times libvirt's routed mode")
    goal(suite, size[i], "plain", 0.85, "within 15 % of plain routing")
    others(suite, size[i])
  }
  print ""
}

function goal(suite, size, other, least, what,    m, ratio, figures, held) {
  held = "holds"
  for (m = 1; m <= 3; m++) {
    ratio = better(suite, size, "ours", other, metric[m])
    if (ratio < least) held = "MISSED"
    figures = figures sprintf(" %s %.2f", metric[m], ratio)
  }
  printf "%-9s %s, %d networks: %s:%s\n", held, suite, size, what, figures
}

# Better than ours is who is more than 3 % better: closer than that the figures of one run do not tell.
function others(suite, size,    w, m, found, ratio) {
  for (w = 1; w <= way_count; w++) {
    if (ways[w] == "plain" || ways[w] == "ours") continue
    for (m = 1; m <= 3; m++) {
      ratio = better(suite, size, ways[w], "ours", metric[m])
      if (ratio > 1.03) found = found sprintf(" %s (%s %.2f)", ways[w], metric[m], ratio)
    }
  }
  printf "%-9s %s, %d networks: no slower than any other%s\n", found == "" ? "holds" : "MISSED", suite, size,
    found == "" ? "" : ", but for" found
}
