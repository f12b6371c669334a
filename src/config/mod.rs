//! Settings: the TOML file as written, then defaults < file < environment < flags, each value with its origin.
//! Reads files only. Every room below owns its `XxxSettings`; they are built here.

pub mod board;
pub mod boot;
pub mod edid;
pub mod edit;
pub mod file;
pub mod server_string;
pub mod settings;
