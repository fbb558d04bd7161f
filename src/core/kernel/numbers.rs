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
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;

pub(super) const DATA_VALUE: u16 = 1;

pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;
/// `NF_DROP`, as a policy and as a verdict.
pub(super) const DROP: u32 = 0;
/// `NF_ACCEPT`
pub(super) const ACCEPT: u32 = 1;
/// `NFT_CONTINUE`, `NFT_JUMP`, `NFT_GOTO`, `NFT_RETURN`: negative there.
pub(super) const CONTINUE: u32 = -1_i32 as u32;
pub(super) const JUMP: u32 = -3_i32 as u32;
pub(super) const GOTO: u32 = -4_i32 as u32;
pub(super) const RETURN: u32 = -5_i32 as u32;
