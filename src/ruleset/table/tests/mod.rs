//! Tests of the table without a kernel: its text, and what its rules decide about a packet.

mod agreement;
mod cases;
mod elements;
mod evaluator;
mod packets;
