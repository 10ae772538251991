//! The dataset viewer: rows, features and numbers of a dataset's JSON Lines files.
//!
//! On the Hub this API has an origin of its own, `datasets-server.` before the Hub's. Here it is on the Hub's origin,
//! and on `datasets-server.localhost` for clients that put the word in front.
//!
//! # Source
//! The viewer's OpenAPI document and guides. Parquet exports, search and filters are not made here: those routes
//! answer 501 and say so.

mod answer;
mod features;
mod layout;
mod open;
mod routes;
mod statistics;
mod table;

pub(crate) use routes::router;
pub(crate) use table::{Tables, tables};
