//! What entries mean to clients: one interpretation of the kernel per data type.

pub mod register;
