#![doc = include_str!("../ARCHITECTURE.md")]
#![cfg_attr(rustfmt, rustfmt_skip)] // the order below is the law of the house, not the alphabet

// ground
pub mod secret;
pub mod clock;
mod schedule;
mod telemetry;
mod refusal;
mod failpoint;
// mechanism
mod crypto;
mod net;
// concepts
mod quota;
mod client;
mod provider;
mod policy;
// keepers
mod store;
mod catalogue;
mod kms;
mod vault;
mod roster;
mod operators;
mod limiter;
mod ledger;
// way out
mod inject;
mod upstream;
mod corridor;
// around
mod probe;
mod rotation;
mod pool;
mod market;
mod backup;
mod alerts;
mod report;
// doors
mod emulator;
mod proxy;
mod admin;
// whole
pub mod config;
pub mod app;
pub mod cli;
