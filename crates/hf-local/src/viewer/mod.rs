//! The dataset viewer: rows, features and numbers of a dataset's files in JSON Lines or Parquet.
//!
//! On the Hub this API has an origin of its own, `datasets-server.` before the Hub's. Here it is on the Hub's origin,
//! and on `datasets-server.localhost` for clients that put the word in front.
//!
//! # Source
//! The viewer's OpenAPI document and guides. Parquet exports are not made here: those routes answer 501 and say so.

mod answer;
mod condition;
mod features;
mod find;
mod layout;
mod open;
mod parquet;
mod routes;
mod statistics;
mod table;

pub(crate) use routes::router;
pub(crate) use table::{Tables, tables};
