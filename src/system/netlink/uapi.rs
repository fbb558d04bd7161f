//! Numbers of the kernel's user space interface under the kernel's names. Those that libc defines
//! come from libc, converted to the width that their field has in a message.

// nf_tables (linux/netfilter/nf_tables.h)
pub(crate) const NFT_MSG_GETTABLE: u8 = libc::NFT_MSG_GETTABLE as u8;
pub(crate) const NFT_MSG_GETCHAIN: u8 = libc::NFT_MSG_GETCHAIN as u8;
pub(crate) const NFT_MSG_GETRULE: u8 = libc::NFT_MSG_GETRULE as u8;
pub(crate) const NFTA_TABLE_NAME: u16 = 1;
pub(crate) const NFTA_TABLE_FLAGS: u16 = 2;
pub(crate) const NFTA_TABLE_HANDLE: u16 = 4;
pub(crate) const NFTA_CHAIN_TABLE: u16 = 1;
pub(crate) const NFTA_CHAIN_POLICY: u16 = 5;
pub(crate) const NFTA_RULE_TABLE: u16 = 1;
pub(crate) const NFTA_RULE_CHAIN: u16 = 2;
pub(crate) const NFTA_RULE_HANDLE: u16 = 3;
pub(crate) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(crate) const NFTA_DATA_VALUE: u16 = 1;
pub(crate) const NFTA_VERDICT_CODE: u16 = 1;
pub(crate) const NFTA_VERDICT_CHAIN: u16 = 2;
/// Negative in the kernel's header.
pub(crate) const NFT_CONTINUE: u32 = libc::NFT_CONTINUE as u32;
pub(crate) const NFT_JUMP: u32 = libc::NFT_JUMP as u32;
pub(crate) const NFT_GOTO: u32 = libc::NFT_GOTO as u32;
pub(crate) const NFT_RETURN: u32 = libc::NFT_RETURN as u32;
/// The table is switched off, as if it did not exist.
pub(crate) const NFT_TABLE_F_DORMANT: u32 = 1;
/// Only the process that created the table may change it.
pub(crate) const NFT_TABLE_F_OWNER: u32 = 2;
pub(crate) const NFTA_CHAIN_NAME: u16 = 3;
pub(crate) const NFTA_CHAIN_HOOK: u16 = 4;
pub(crate) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(crate) const NFTA_HOOK_PRIORITY: u16 = 2;
pub(crate) const NFTA_RULE_USERDATA: u16 = 7;
pub(crate) const NFTA_EXPR_NAME: u16 = 1;
pub(crate) const NFTA_EXPR_DATA: u16 = 2;
pub(crate) const NFTA_IMMEDIATE_DATA: u16 = 2;
pub(crate) const NFTA_DATA_VERDICT: u16 = 2;
pub(crate) const NFTA_LOOKUP_DREG: u16 = 3;
pub(crate) const NFTA_MATCH_NAME: u16 = 1;
pub(crate) const NFTA_MATCH_INFO: u16 = 3;
pub(crate) const NFTA_META_KEY: u16 = 2;
pub(crate) const NFT_META_MARK: u32 = libc::NFT_META_MARK as u32;
pub(crate) const NFT_META_NFPROTO: u32 = libc::NFT_META_NFPROTO as u32;
pub(crate) const NFT_META_L4PROTO: u32 = libc::NFT_META_L4PROTO as u32;
pub(crate) const NFTA_PAYLOAD_BASE: u16 = 2;
pub(crate) const NFTA_PAYLOAD_OFFSET: u16 = 3;
pub(crate) const NFTA_PAYLOAD_LEN: u16 = 4;
pub(crate) const NFTA_OBJREF_IMM_TYPE: u16 = 1;
pub(crate) const NFT_OBJECT_COUNTER: u32 = 1;
pub(crate) const NFTA_BITWISE_MASK: u16 = 4;
pub(crate) const NFTA_CMP_OP: u16 = 2;
pub(crate) const NFTA_CMP_DATA: u16 = 3;
pub(crate) const NFT_CMP_EQ: u32 = libc::NFT_CMP_EQ as u32;
pub(crate) const NFT_CMP_NEQ: u32 = libc::NFT_CMP_NEQ as u32;
pub(crate) const NFT_MSG_TRACE: u16 = libc::NFT_MSG_TRACE as u16;
pub(crate) const NFTA_TRACE_TABLE: u16 = 1;
pub(crate) const NFTA_TRACE_CHAIN: u16 = 2;
pub(crate) const NFTA_TRACE_RULE_HANDLE: u16 = 3;
pub(crate) const NFTA_TRACE_TYPE: u16 = 4;
pub(crate) const NFTA_TRACE_VERDICT: u16 = 5;
pub(crate) const NFTA_TRACE_ID: u16 = 6;
pub(crate) const NFTA_TRACE_LL_HEADER: u16 = 7;
pub(crate) const NFTA_TRACE_NETWORK_HEADER: u16 = 8;
pub(crate) const NFTA_TRACE_TRANSPORT_HEADER: u16 = 9;
pub(crate) const NFTA_TRACE_IIF: u16 = 10;
pub(crate) const NFTA_TRACE_OIF: u16 = 12;
pub(crate) const NFTA_TRACE_POLICY: u16 = 16;
pub(crate) const NFT_TRACETYPE_POLICY: u32 = libc::NFT_TRACETYPE_POLICY as u32;
pub(crate) const NFT_TRACETYPE_RULE: u32 = libc::NFT_TRACETYPE_RULE as u32;
pub(crate) const NFT_MSG_NEWTABLE: u8 = libc::NFT_MSG_NEWTABLE as u8;
pub(crate) const NFT_MSG_DELRULE: u8 = libc::NFT_MSG_DELRULE as u8;
pub(crate) const NFT_MSG_NEWSETELEM: u8 = libc::NFT_MSG_NEWSETELEM as u8;
pub(crate) const NFT_MSG_DELSETELEM: u8 = libc::NFT_MSG_DELSETELEM as u8;
pub(crate) const NFT_MSG_NEWGEN: u8 = libc::NFT_MSG_NEWGEN as u8;
pub(crate) const NFT_MSG_GETGEN: u8 = libc::NFT_MSG_GETGEN as u8;
pub(crate) const NFTA_GEN_ID: u16 = 1;
pub(crate) const NFTA_GEN_PROC_PID: u16 = 2;
pub(crate) const NFTA_GEN_PROC_NAME: u16 = 3;
pub(crate) const NFTA_CHAIN_HANDLE: u16 = 2;
pub(crate) const NFT_MSG_GETSETELEM: u8 = libc::NFT_MSG_GETSETELEM as u8;
pub(crate) const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
pub(crate) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(crate) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
pub(crate) const NFTA_LIST_ELEM: u16 = 1;
pub(crate) const NFTA_SET_ELEM_KEY: u16 = 1;
pub(crate) const NFTA_SET_ELEM_FLAGS: u16 = 3;
pub(crate) const NFTA_SET_ELEM_USERDATA: u16 = 6;
pub(crate) const NFTA_SET_ELEM_KEY_END: u16 = 10;
pub(crate) const NFT_SET_ELEM_INTERVAL_END: u32 = libc::NFT_SET_ELEM_INTERVAL_END as u32;
pub(crate) const NFT_PAYLOAD_NETWORK_HEADER: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
pub(crate) const NFT_META_IIFNAME: u32 = libc::NFT_META_IIFNAME as u32;
pub(crate) const NFTA_LOOKUP_SET: u16 = 1;
pub(crate) const NFTA_LOOKUP_FLAGS: u16 = 5;
pub(crate) const NFT_LOOKUP_F_INV: u32 = libc::NFT_LOOKUP_F_INV as u32;

// netfilter (linux/netfilter.h)
pub(crate) const NFPROTO_INET: u8 = libc::NFPROTO_INET as u8;
pub(crate) const NFPROTO_IPV4: u8 = libc::NFPROTO_IPV4 as u8;
pub(crate) const NFPROTO_NETDEV: u8 = libc::NFPROTO_NETDEV as u8;
pub(crate) const NFPROTO_BRIDGE: u8 = libc::NFPROTO_BRIDGE as u8;
pub(crate) const NFPROTO_IPV6: u8 = libc::NFPROTO_IPV6 as u8;
pub(crate) const NF_DROP: u32 = libc::NF_DROP as u32;
pub(crate) const NF_ACCEPT: u32 = libc::NF_ACCEPT as u32;
pub(crate) const NF_INET_FORWARD: u32 = libc::NF_INET_FORWARD as u32;

// netlink messages and attributes (linux/netlink.h)
pub(crate) const NLMSG_HDRLEN: usize = 16;
pub(crate) const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
pub(crate) const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
pub(crate) const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(crate) const NLM_F_ACK: u16 = libc::NLM_F_ACK as u16;
pub(crate) const NLM_F_DUMP: u16 = libc::NLM_F_DUMP as u16;
pub(crate) const NLM_F_CREATE: u16 = libc::NLM_F_CREATE as u16;
/// The listed objects changed while the kernel listed them.
pub(crate) const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;
pub(crate) const NLA_TYPE_MASK: u16 = libc::NLA_TYPE_MASK as u16;
pub(crate) const NLA_F_NESTED: u16 = libc::NLA_F_NESTED as u16;

// nfnetlink (linux/netfilter/nfnetlink.h); `…_GROUP` is the bit of a multicast group in
// `sockaddr_nl`
pub(crate) const SIZEOF_NFGENMSG: usize = 4;
pub(crate) const NFNL_MSG_BATCH_BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
pub(crate) const NFNL_MSG_BATCH_END: u16 = libc::NFNL_MSG_BATCH_END as u16;
pub(crate) const NFNL_SUBSYS_CTNETLINK: u16 = libc::NFNL_SUBSYS_CTNETLINK as u16;
pub(crate) const NFNL_SUBSYS_NFTABLES: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;
pub(crate) const NFNLGRP_NFTRACE_GROUP: u32 = 1 << (libc::NFNLGRP_NFTRACE - 1);
pub(crate) const NFNLGRP_NFTABLES_GROUP: u32 = 1 << (libc::NFNLGRP_NFTABLES - 1);

// User data, which only programs read (libnftnl, include/libnftnl/udata.h)
pub(crate) const NFTNL_UDATA_RULE_COMMENT: u8 = 0;
pub(crate) const NFTNL_UDATA_SET_ELEM_COMMENT: u8 = 0;

// Address families, protocols, Ethernet
pub(crate) const ETH_HLEN: usize = libc::ETH_HLEN as usize;
pub(crate) const AF_UNSPEC: u8 = libc::AF_UNSPEC as u8;
pub(crate) const AF_INET: u8 = libc::AF_INET as u8;
pub(crate) const AF_INET6: u8 = libc::AF_INET6 as u8;
pub(crate) const IPPROTO_ICMP: u8 = 1;
pub(crate) const IPPROTO_TCP: u8 = 6;
pub(crate) const IPPROTO_UDP: u8 = 17;
pub(crate) const IPPROTO_ICMPV6: u8 = 58;

// rtnetlink (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h)
pub(crate) const RTNLGRP_LINK_GROUP: u32 = 1 << (libc::RTNLGRP_LINK - 1);
pub(crate) const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
pub(crate) const RTM_DELLINK: u16 = libc::RTM_DELLINK;
/// `struct ifinfomsg`, whose first byte is the address family.
pub(crate) const SIZEOF_IFINFOMSG: usize = 16;
pub(crate) const IFLA_IFNAME: u16 = libc::IFLA_IFNAME;
pub(crate) const RTNLGRP_IPV4_ROUTE_GROUP: u32 = 1 << (libc::RTNLGRP_IPV4_ROUTE - 1);
pub(crate) const RTNLGRP_IPV4_RULE_GROUP: u32 = 1 << (libc::RTNLGRP_IPV4_RULE - 1);
pub(crate) const RTNLGRP_IPV6_ROUTE_GROUP: u32 = 1 << (libc::RTNLGRP_IPV6_ROUTE - 1);
pub(crate) const RTNLGRP_IPV6_RULE_GROUP: u32 = 1 << (libc::RTNLGRP_IPV6_RULE - 1);
pub(crate) const RTNLGRP_IPV4_NETCONF_GROUP: u32 = 1 << (libc::RTNLGRP_IPV4_NETCONF - 1);
pub(crate) const RTNLGRP_IPV6_NETCONF_GROUP: u32 = 1 << (libc::RTNLGRP_IPV6_NETCONF - 1);
pub(crate) const RTM_GETROUTE: u16 = libc::RTM_GETROUTE;
pub(crate) const RTM_GETRULE: u16 = libc::RTM_GETRULE;
pub(crate) const RTM_GETNEXTHOP: u16 = 106;
/// `struct rtmsg`; `struct fib_rule_hdr` has the same length.
pub(crate) const SIZEOF_RTMSG: usize = 12;
pub(crate) const RTA_DST: u16 = libc::RTA_DST;
pub(crate) const RTA_SRC: u16 = libc::RTA_SRC;
pub(crate) const RTA_OIF: u16 = libc::RTA_OIF;
pub(crate) const RTA_PRIORITY: u16 = libc::RTA_PRIORITY;
pub(crate) const RTA_MULTIPATH: u16 = libc::RTA_MULTIPATH;
pub(crate) const RTA_TABLE: u16 = libc::RTA_TABLE;
pub(crate) const RTA_NH_ID: u16 = 30;
pub(crate) const RTN_UNICAST: u8 = libc::RTN_UNICAST;
pub(crate) const RTN_THROW: u8 = libc::RTN_THROW;
/// The interface of the next hop is down.
pub(crate) const RTNH_F_DEAD: u8 = 1;
pub(crate) const RTM_GETADDR: u16 = libc::RTM_GETADDR;
/// `struct ifaddrmsg`
pub(crate) const SIZEOF_IFADDRMSG: usize = 8;
pub(crate) const SIZEOF_RTNEXTHOP: usize = 8;
pub(crate) const RT_SCOPE_LINK: u8 = libc::RT_SCOPE_LINK;
pub(crate) const IFA_ADDRESS: u16 = libc::IFA_ADDRESS;
pub(crate) const IFA_LOCAL: u16 = libc::IFA_LOCAL;

// Next hops (linux/nexthop.h)
/// `struct nhmsg`; `struct rtnexthop` and `struct nexthop_grp` have the same length.
pub(crate) const SIZEOF_NHMSG: usize = 8;
pub(crate) const NHA_ID: u16 = 1;
pub(crate) const NHA_GROUP: u16 = 2;
pub(crate) const NHA_OIF: u16 = 5;

// Routing rules (linux/fib_rules.h)
pub(crate) const FRA_DST: u16 = 1;
pub(crate) const FRA_SRC: u16 = 2;
pub(crate) const FRA_IIFNAME: u16 = 3;
pub(crate) const FRA_GOTO: u16 = 4;
pub(crate) const FRA_PRIORITY: u16 = 6;
pub(crate) const FRA_FWMARK: u16 = 10;
pub(crate) const FRA_TUN_ID: u16 = 12;
pub(crate) const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub(crate) const FRA_TABLE: u16 = 15;
pub(crate) const FRA_FWMASK: u16 = 16;
pub(crate) const FRA_OIFNAME: u16 = 17;
pub(crate) const FRA_L3MDEV: u16 = 19;
pub(crate) const FRA_UID_RANGE: u16 = 20;
/// `FRA_SPORT_RANGE`, `FRA_DPORT_RANGE`, `FRA_DSCP` and later ones follow it.
pub(crate) const FRA_IP_PROTO: u16 = 22;
pub(crate) const FR_ACT_TO_TBL: u8 = 1;
pub(crate) const FR_ACT_GOTO: u8 = 2;
pub(crate) const FR_ACT_BLACKHOLE: u8 = 6;
pub(crate) const FR_ACT_PROHIBIT: u8 = 8;
pub(crate) const FIB_RULE_INVERT: u32 = 2;

// conntrack (linux/netfilter/nfnetlink_conntrack.h)
pub(crate) const IPCTNL_MSG_CT_GET: u8 = 1;
pub(crate) const IPCTNL_MSG_CT_DELETE: u8 = 2;
pub(crate) const CTA_TUPLE_ORIG: u16 = 1;
pub(crate) const CTA_TUPLE_REPLY: u16 = 2;
pub(crate) const CTA_ID: u16 = 12;
pub(crate) const CTA_ZONE: u16 = 18;
pub(crate) const CTA_LABELS: u16 = 22;
pub(crate) const CTA_TUPLE_IP: u16 = 1;
pub(crate) const CTA_TUPLE_PROTO: u16 = 2;
pub(crate) const CTA_IP_V4_SRC: u16 = 1;
pub(crate) const CTA_IP_V4_DST: u16 = 2;
pub(crate) const CTA_IP_V6_SRC: u16 = 3;
pub(crate) const CTA_IP_V6_DST: u16 = 4;
pub(crate) const CTA_PROTO_NUM: u16 = 1;
pub(crate) const CTA_PROTO_SRC_PORT: u16 = 2;
pub(crate) const CTA_PROTO_ICMP_ID: u16 = 4;
pub(crate) const CTA_PROTO_ICMPV6_ID: u16 = 7;
