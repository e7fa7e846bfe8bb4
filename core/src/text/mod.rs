//! Plain words and tables; the escaping of untrusted text.

pub mod format;
pub mod table;
