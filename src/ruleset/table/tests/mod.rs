//! The table for the cases of `tests/cases`, as text.

mod cases;
