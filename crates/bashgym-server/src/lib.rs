//! Bash Gym's server: REST, live events and the dashboard, on the crates of the domain.

pub mod live;
