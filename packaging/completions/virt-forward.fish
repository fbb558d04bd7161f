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

complete -c virt-forward -n "__fish_virt_forward_needs_command" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_needs_command" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_needs_command" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_needs_command" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -s V -l version -d 'Print version'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "apply" -d 'Open active networks again, as the config says'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "remove" -d 'Close networks'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "status" -d 'Show networks, gates and settings, and who reaches whom'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "graph" -d 'Draw networks, guests and who reaches whom, for a wiki'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "check" -d 'Tell why a packet passes, or who refuses it and what to do'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "doctor" -d 'Look for what commonly goes wrong on a host, and tell what mends it'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "routes" -d 'Print the routes that machines of the LAN, or their router, need to reach the networks'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "watch" -d 'Keep everything as wanted, until it is ended: for systemd'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "hook" -d 'Put the libvirt hook in its place, or take it away'
complete -c virt-forward -n "__fish_virt_forward_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -l dry-run -d 'Print the rules, the gates and the settings, and change nothing'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -l all -d 'Every rule, gate and setting of virt-forward, whether it is known or not'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand remove" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l why -d 'Tell why each pair is open, limited or closed; of one end alone, or from one to another: networks, addresses outside, or internet' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l json -d 'For programs'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -l check -d 'End with 3 where anything is not as wanted'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l format -d 'What it is written in' -r -f -a "svg\t'A picture for a browser or a wiki'
dot\t'For Graphviz: dot -Tpng'
mermaid\t'A flowchart, as GitHub and GitLab draw it in a ```mermaid block'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l title -d 'The picture\'s title [default: Virtual networks of, and this host\'s name]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand graph" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l tcp -d 'TCP, to that port' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l udp -d 'UDP, to that port' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l icmp -d 'A ping; so it is where nothing is said'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l probe -d 'Send the packet, and follow it from rule to rule'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -l json -d 'For programs'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -l json -d 'For programs'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l format -d 'For which program' -r -f -a "iproute2\t'A script of ip(8) commands, until the next boot: pipe it to a shell'
networkmanager\t'A script of nmcli(1) commands, for good'
netplan\t'A file for /etc/netplan'
networkd\t'A drop-in for a .network file of systemd-networkd'
ifcfg\t'Files for /etc/sysconfig/network-scripts'
ifupdown\t'A file for /etc/network/interfaces.d'
dnsmasq\t'DHCP options 121 and 249, for the LAN\'s dnsmasq'
openwrt\t'A part of /etc/config/network, for a router'
routeros\t'Commands for a router of MikroTik\'s'
windows\t'Commands for an administrator\'s prompt'
frr\t'Static routes for FRR; with --announce, this host\'s own configuration'
bird\t'The same for BIRD 2'
json\t'For programs'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l via -d 'This host\'s address in the LAN; one of each family may be named [default: the one on its way to peers, else to the world]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l gateway -d 'Give a default route too, and where it leads [default: it stays as it is]' -r -f -a "host\t'To this host, which knows the networks and the router'
router\t'To the router, with routes for the networks beside it'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l router -d 'The router\'s address; one of each family may be named [default: this host\'s own gateway]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l interface -d 'The interface of the machine that the routes are for, in formats that name it [default: eth0, or lan on OpenWrt]' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l announce -d 'Not routes but this host\'s own FRR or BIRD, which tells them to its neighbours' -r -f -a "ospf\t'Neighbours find each other on the LAN, which has to be trusted'
bgp\t'Each neighbour is named with --neighbor'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l as -d 'This host\'s autonomous system, for BGP' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l neighbor -d 'A neighbour of BGP, and its autonomous system if it is another; may be repeated' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand routes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or, where an admin\'s own hook is there, to /etc/libvirt/hooks/network.d/50-virt-forward'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "uninstall" -d 'Take the hook away; an admin\'s own hook is never touched'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and not __fish_seen_subcommand_from install uninstall help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l from -d 'The hook\'s program [default: virt-forward-hook beside this program, else in /usr/lib/virt-forward]' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l config -d 'The configuration; a missing file means the defaults' -r -F
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l connect -d 'The libvirt to ask for networks' -r
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -l color -d 'Colours: auto, always or never; NO_COLOR in the environment means never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Into a pipe or a file too'
never\t'No colours'"
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or, where an admin\'s own hook is there, to /etc/libvirt/hooks/network.d/50-virt-forward'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Take the hook away; an admin\'s own hook is never touched'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "apply" -d 'Open active networks again, as the config says'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "remove" -d 'Close networks'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "status" -d 'Show networks, gates and settings, and who reaches whom'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "graph" -d 'Draw networks, guests and who reaches whom, for a wiki'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "check" -d 'Tell why a packet passes, or who refuses it and what to do'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "doctor" -d 'Look for what commonly goes wrong on a host, and tell what mends it'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "routes" -d 'Print the routes that machines of the LAN, or their router, need to reach the networks'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "watch" -d 'Keep everything as wanted, until it is ended: for systemd'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "hook" -d 'Put the libvirt hook in its place, or take it away'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and not __fish_seen_subcommand_from apply remove status graph check doctor routes watch hook help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "install" -d 'Copy the hook to /etc/libvirt/hooks/network, or, where an admin\'s own hook is there, to /etc/libvirt/hooks/network.d/50-virt-forward'
complete -c virt-forward -n "__fish_virt_forward_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "uninstall" -d 'Take the hook away; an admin\'s own hook is never touched'
