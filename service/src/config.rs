//! Configuration: a TOML or YAML file, overridden by `SETTLE_<SECTION>__<KEY>`, read key by key.
//!
//! A program reads its keys through one function over a [`Reader`]. Every call gives the key, its
//! default and one line of explanation, so the printed default configuration, the list of known
//! keys and the values come from the same place and cannot drift apart.

mod error;
mod parse;
mod print;
mod reader;
mod source;
mod suggest;
mod unknown;
mod value;

pub use error::{ConfigError, ConfigErrors};
pub use parse::{parse_duration, parse_host_port, parse_size};
pub use reader::Reader;
pub use source::environment;
pub use value::shown;

#[cfg(test)]
mod tests;
