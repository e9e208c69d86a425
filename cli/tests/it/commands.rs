//! `settle`'s commands against real nodes: what they print, what they say when they fail, their exit codes.

mod long;
mod operators;
mod refusals;
mod shells;
mod siblings;
mod terminal;
mod values;
