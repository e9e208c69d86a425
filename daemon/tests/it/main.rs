//! The daemon from outside: real processes, real sockets, real directories. One binary, a file per topic.

#[cfg(test)]
mod support;

#[cfg(test)]
mod bad_configuration;
#[cfg(test)]
mod bad_data_directory;
#[cfg(test)]
mod bad_peers;
#[cfg(test)]
mod bad_requests;
#[cfg(test)]
mod catch_up;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod copied_directory;
#[cfg(test)]
mod disagreement;
#[cfg(test)]
mod few_replicas;
#[cfg(test)]
mod hints;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod killed_under_quorum;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod lost_disk;
#[cfg(test)]
mod read_repair;
#[cfg(test)]
mod registers;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod rings;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod stopped;
#[cfg(test)]
mod verification;
