//! The numbers of nf_tables' messages and attributes that more than one file here needs
//! (linux/netfilter/nf_tables.h).

pub(super) const NFT_MSG_GETTABLE: u8 = 1;
pub(super) const NFT_MSG_GETCHAIN: u8 = 4;
pub(super) const NFT_MSG_GETRULE: u8 = 7;

/// `NFPROTO_INET`
pub(super) const INET: u8 = 1;

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const TABLE_HANDLE: u16 = 4;

pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_POLICY: u16 = 5;

pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_HANDLE: u16 = 3;

pub(super) const DATA_VALUE: u16 = 1;
