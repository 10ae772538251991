//! The handlers, a file for each area of the Hub.

pub(crate) mod body;
pub(crate) mod commit;
pub(crate) mod control;
pub(crate) mod duplicate;
pub(crate) mod info;
pub(crate) mod lfs;
mod page;
pub(crate) mod preupload;
pub(crate) mod query;
mod range;
pub(crate) mod refs;
pub(crate) mod repos;
pub(crate) mod resolve;
pub(crate) mod target;
pub(crate) mod tree;
pub(crate) mod whoami;
