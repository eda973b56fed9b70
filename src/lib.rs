#![doc = include_str!("../ARCHITECTURE.md")]

// ground
pub mod clock;
mod refusal;
pub mod secret;
// mechanism
mod crypto;
// concepts
mod client;
