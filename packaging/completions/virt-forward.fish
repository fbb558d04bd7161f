# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_virt_forward_global_optspecs
	string join \n config= connect= color= h/help V/version
end

function __fish_virt_forward_needs_command
	# Figure out if the current invocation already has a command.
	set -l cmd (commandline -opc)
	set -e cmd[1]
	argparse -s (__fish_virt_forward_global_optspecs) -- $cmd 2>/dev/null
	or return
	if set -q argv[1]
		# Also print the command, so this can be used to figure out what it is.
		echo $argv[1]
		return 1
	end
	return 0
end

function __fish_virt_forward_using_subcommand
	set -l cmd (__fish_virt_forward_needs_command)
	test -z "$cmd"
	and return 1
	contains -- $cmd[1] $argv
end

complete -c virt-forward -n "__fish_virt_forward_needs_command" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_needs_command" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_needs_command" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_needs_command" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -s V -l version -d 'Print version'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "apply" -d 'Reconcile active networks with the config'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "remove" -d 'Close networks'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "status" -d 'Show networks, gates, sysctls and reachability'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "graph" -d 'Render networks, guests and reachability as a diagram'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "check" -d 'Explain whether a packet is forwarded'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "doctor" -d 'Diagnose common problems on this host and suggest fixes'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "routes" -d 'Print the routes that LAN hosts or their router need to reach the networks'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "watch" -d 'Watch for drift and repair it; run by systemd'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "hook" -d 'Install or uninstall the libvirt network hook'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l dry-run -d 'Print rules, gates and sysctls without changing anything'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l all -d 'Remove every rule, gate and sysctl change of virt-forward'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l why -d 'Explain why pairs are open, limited or closed: all pairs, those of FROM, or FROM to TO. Endpoints are networks, external addresses, or internet' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l json -d 'Print JSON'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l check -d 'Exit with status 3 if anything differs from the desired state'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l format -d 'Output format' -r -f -a "svg\t'An SVG image for a browser or a wiki'
dot\t'A Graphviz graph: dot -Tpng'
mermaid\t'A Mermaid flowchart, for a ```mermaid block on GitHub or GitLab'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l title -d 'Title [default: Virtual networks of HOSTNAME]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l tcp -d 'TCP to this port' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l udp -d 'UDP to this port' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l icmp -d 'An ICMP echo request [default]'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l probe -d 'Send a real packet and trace the rules that it hits'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l json -d 'Print JSON'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l json -d 'Print JSON'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l format -d 'Program or file format to print routes for' -r -f -a "iproute2\t'A script of ip(8) commands, until the next reboot: pipe it to a shell'
networkmanager\t'A script of nmcli(1) commands, persistent: pipe it to a shell'
netplan\t'A file for /etc/netplan'
networkd\t'A drop-in for a .network file of systemd-networkd'
ifcfg\t'Files for /etc/sysconfig/network-scripts'
ifupdown\t'A file for /etc/network/interfaces.d'
dnsmasq\t'DHCP options 121 and 249, for the LAN\'s dnsmasq'
openwrt\t'Sections of /etc/config/network, for an OpenWrt router'
routeros\t'Commands for a MikroTik router'
windows\t'Commands for an administrator\'s command prompt'
frr\t'Static routes for FRR; with --announce, the configuration of this host\'s FRR'
bird\t'Static routes for BIRD 2; with --announce, the configuration of this host\'s BIRD'
json\t'Routes and warnings for programs'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l via -d 'This host\'s address in the LAN, at most one per family [default: the source address of its route to the peers, else to the Internet]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l gateway -d 'Print a default route via this host or the router, too [default: none]' -r -f -a "host\t'This host, which routes to the networks and to the router'
router\t'The router, beside routes to the networks via this host'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l router -d 'The router\'s address, at most one per family [default: this host\'s gateway]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l interface -d 'Interface of the host that gets the routes, for formats that need it [default: eth0, or lan on OpenWrt]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l announce -d 'Print a config for FRR or BIRD on this host that announces the routes to its neighbors' -r -f -a "ospf\t'Neighbors discover each other: only for a trusted LAN'
bgp\t'Each neighbor is named with --neighbor'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l as -d 'This host\'s autonomous system number, for BGP' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l neighbor -d 'BGP neighbor, with its autonomous system number if it differs; may be repeated' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or to /etc/libvirt/hooks/network.d/50-virt-forward if another hook exists'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "uninstall" -d 'Remove the hook; other hooks are left alone'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l from -d 'Hook binary [default: virt-forward-hook in this program\'s directory, else in /usr/lib/virt-forward]' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l config -d 'Config file; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l connect -d 'libvirt connection URI' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l color -d 'Use colors: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Also into a pipe or a file'
never\t'Never'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or to /etc/libvirt/hooks/network.d/50-virt-forward if another hook exists'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Remove the hook; other hooks are left alone'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "apply" -d 'Reconcile active networks with the config'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "remove" -d 'Close networks'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "status" -d 'Show networks, gates, sysctls and reachability'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "graph" -d 'Render networks, guests and reachability as a diagram'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "check" -d 'Explain whether a packet is forwarded'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "doctor" -d 'Diagnose common problems on this host and suggest fixes'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "routes" -d 'Print the routes that LAN hosts or their router need to reach the networks'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "watch" -d 'Watch for drift and repair it; run by systemd'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "hook" -d 'Install or uninstall the libvirt network hook'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or to /etc/libvirt/hooks/network.d/50-virt-forward if another hook exists'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "uninstall" -d 'Remove the hook; other hooks are left alone'
