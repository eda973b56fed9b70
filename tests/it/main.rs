//! The one integration binary. It enters through the crate's public doors (`app`, `config`,
//! `clock`) or starts the real binary; every test gets a house of its own, with a planted secret
//! that must be nowhere when the house is left. Test names are sentences; answers are compared
//! whole.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod archives;
#[cfg(test)]
mod automatic;
#[cfg(test)]
#[cfg(feature = "aws-kms")]
mod aws_kms;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod cells;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod console;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod cut_off;
#[cfg(test)]
mod destinations;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod edited;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod fanout;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod full;
#[cfg(test)]
mod house;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod keyed;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod market;
#[cfg(test)]
mod masters;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mended;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod papers;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod placements;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod redis_kills;
#[cfg(test)]
mod redis_tls;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod resilience;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod rewriting;
#[cfg(test)]
mod rotations;
#[cfg(test)]
mod ruined;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tail;
#[cfg(test)]
mod tampered;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trip;
#[cfg(test)]
mod validation;
