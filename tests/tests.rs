//! The one test binary; each module is one subject.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests may fail loudly and own their clocks"
)]

mod agent;
mod boards;
mod ch9329;
mod cli;
mod config;
mod controller;
mod encoders;
mod first_run;
mod floods;
mod floors;
mod golden;
mod hid_backends;
mod lab;
mod layouts;
mod nat;
mod operation;
mod packaging;
mod pipeline;
mod rendezvous;
mod servers;
mod session;
mod setup;
mod slow_line;
mod support;
