//! The core against its public API: stories, a table, and a random walk. Nothing here is real but the decisions.

mod attempts;
mod catalogue;
mod detection;
mod lifecycle;
mod table;
mod views;
mod walk;
mod witness;
mod world;
