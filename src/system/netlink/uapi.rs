//! The numbers of nf_tables' messages and attributes that more than one file here needs
//! (linux/netfilter/nf_tables.h).

pub(crate) const NFT_MSG_GETTABLE: u8 = 1;
pub(crate) const NFT_MSG_GETCHAIN: u8 = 4;
pub(crate) const NFT_MSG_GETRULE: u8 = 7;

/// `NFPROTO_INET`
pub(crate) const INET: u8 = 1;

pub(crate) const TABLE_NAME: u16 = 1;
pub(crate) const TABLE_FLAGS: u16 = 2;
pub(crate) const TABLE_HANDLE: u16 = 4;

pub(crate) const CHAIN_TABLE: u16 = 1;
pub(crate) const CHAIN_POLICY: u16 = 5;

pub(crate) const RULE_TABLE: u16 = 1;
pub(crate) const RULE_CHAIN: u16 = 2;
pub(crate) const RULE_HANDLE: u16 = 3;
pub(crate) const RULE_EXPRESSIONS: u16 = 4;

pub(crate) const DATA_VALUE: u16 = 1;

pub(crate) const VERDICT_CODE: u16 = 1;
pub(crate) const VERDICT_CHAIN: u16 = 2;
/// `NF_DROP`, as a policy and as a verdict.
pub(crate) const DROP: u32 = 0;
/// `NF_ACCEPT`
pub(crate) const ACCEPT: u32 = 1;
/// `NFT_CONTINUE`, `NFT_JUMP`, `NFT_GOTO`, `NFT_RETURN`: negative there.
pub(crate) const CONTINUE: u32 = -1_i32 as u32;
pub(crate) const JUMP: u32 = -3_i32 as u32;
pub(crate) const GOTO: u32 = -4_i32 as u32;
pub(crate) const RETURN: u32 = -5_i32 as u32;
