//! One file a noun.

pub(crate) mod budget;
pub(crate) mod bulk;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod hub;
pub(crate) mod infer;
pub(crate) mod jobs;
pub(crate) mod labels;
pub(crate) mod model;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod space;
pub(crate) mod stages;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod train;
pub(crate) mod wallet;
pub(crate) mod worker;
