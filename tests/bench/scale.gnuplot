# Draws the figures of tests/bench/run scale:
#
#   gnuplot -e "data='target/scale.tsv'; drawing='docs/scale.svg'" tests/bench/scale.gnuplot

suites = "bookworm trixie"
named = "'libvirt 9.0, iptables rules' 'libvirt 11.3, nftables rules'"
ways = "plain ours routed routed-middle no-rejects pairs-iptables pairs-nft firewalld"
called = "'no rule at all' virt-forward 'routed mode' 'routed mode, middle' 'REJECTs deleted' 'rule a pair, iptables' 'rule a pair, nft' firewalld"
operations = "started stopped apply apply-one rebuild remove-all"
metrics = "packets rtt connections"
metrics_called = "'packets a second' 'round trip, microseconds' 'new connections a second'"
# Of Okabe and Ito, for eyes that see colours otherwise; ours is the thick one.
colours = "#999999 #000000 #0072b2 #56b4e9 #009e73 #e69f00 #d55e00 #cc79a7"

of(suite, way, metric) = sprintf("< awk -F '\\t' '$1 == \"%s\" && $3 == \"%s\" && $4 == \"%s\" { print $2, $5 }' '%s'", \
  suite, way, metric, data)

set terminal svg size 1000,1400 font "sans-serif,12" background rgb "white"
set output drawing
set multiplot layout 4,2 columnsfirst title "With that many open networks"
set logscale xy
set grid
set key left bottom font ",9" samplen 2 spacing 0.9
set xtics (1, 3, 10, 30, 100, 300, 1000, 4000)
set xrange [0.9:4500]
do for [s = 1:2] {
  suite = word(suites, s)
  do for [m = 1:3] {
    set title word(named, s) . ": " . word(metrics_called, m)
    # A round trip is better where it is short: its lines rise where the others' fall.
    if (word(metrics, m) eq "rtt") { set key left top } else { set key left bottom }
    plot for [w = 1:words(ways)] of(suite, word(ways, w), word(metrics, m)) using 1:2 with linespoints pointtype 7 \
      pointsize 0.4 linewidth (word(ways, w) eq "ours" ? 3 : 1.2) linecolor rgb word(colours, w) title word(called, w)
  }
  set title word(named, s) . ": hook and command, milliseconds"
  set key left top
  plot for [o = 1:words(operations)] of(suite, "hook", word(operations, o)) using 1:($2 / 1000) with linespoints \
    pointtype 7 pointsize 0.4 linewidth 1.2 linecolor rgb word(colours, o + 1) title word(operations, o)
}
unset multiplot
