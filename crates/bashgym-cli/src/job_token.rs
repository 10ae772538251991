//! The token that jobs get, apart from the one a person works with.
//!
//! A job installs packages that nobody here has read, and each can read the job's secrets: a token that opens one namespace's
//! repositories is worth less to them than one that opens the account.

use std::io::ErrorKind;
use std::path::PathBuf;

use hf_core::{Endpoint, Token};
use serde::{Deserialize, Serialize};

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;

/// The variable that names it; it wins over the stored one.
pub(crate) const VARIABLE: &str = "BASHGYM_JOB_TOKEN";

/// The file: a token and the Hub it belongs to, to which alone it is sent.
#[derive(Serialize, Deserialize)]
struct Stored {
    endpoint: String,
    token: String,
}

/// Where the token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Variable,
    File(PathBuf),
}

/// The token for jobs.
#[derive(Debug, Clone)]
pub(crate) struct JobToken {
    pub(crate) token: Token,
    pub(crate) origin: Origin,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable => f.write_str(VARIABLE),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn file(context: &Context) -> PathBuf {
    context.home_path().join("job_token.json")
}

fn parse(text: &str, origin: &Origin) -> Result<Token, CliError> {
    Token::parse(text.trim()).map_err(|error| {
        CliError::new(Kind::Usage, format!("the token for jobs ({origin}) is none")).because(error)
    })
}

/// The token for jobs of this Hub, if there is one.
pub(crate) fn find(context: &Context, endpoint: &Endpoint) -> Result<Option<JobToken>, CliError> {
    if let Some(text) = crate::context::own_variable(VARIABLE) {
        let origin = Origin::Variable;
        let token = parse(&text, &origin)?;
        return Ok(Some(JobToken { token, origin }));
    }
    let path = file(context);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &path, error)),
    };
    // The parser's words could repeat a part of the token.
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|_damaged| {
        CliError::new(Kind::Io, format!("{} is damaged", path.display()))
            .hint("store the token again: bashgym token set --for-jobs")
    })?;
    if stored.endpoint != endpoint.to_string() {
        return Ok(None);
    }
    let origin = Origin::File(path);
    let token = parse(&stored.token, &origin)?;
    Ok(Some(JobToken { token, origin }))
}

/// The tokens for jobs that this process can see, whatever Hub they belong to: what the secret gate looks for.
pub(crate) fn known(context: &Context) -> impl Iterator<Item = String> {
    let stored = std::fs::read(file(context))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    crate::context::own_variable(VARIABLE)
        .into_iter()
        .chain(stored.map(|stored| stored.token))
}

/// The token that a job of this connection gets, if not the connection's own. The embedded Hub's jobs run on this machine and
/// have nothing to gain from another.
pub(crate) fn of_connection(
    context: &Context,
    connection: &Connection,
) -> Result<Option<JobToken>, CliError> {
    if connection.embedded {
        return Ok(None);
    }
    find(context, connection.client.endpoint())
}

/// Stores it, for this Hub alone; only this user may read it.
pub(crate) fn store(context: &Context, endpoint: &Endpoint, token: &Token) -> Result<PathBuf, CliError> {
    context.home()?;
    let path = file(context);
    let stored = Stored {
        endpoint: endpoint.to_string(),
        token: token.expose().to_owned(),
    };
    let bytes = serde_json::to_vec(&stored)
        .map_err(|error| CliError::new(Kind::Internal, "the token is no JSON").because(error))?;
    write_whole(&path, &bytes)?;
    Ok(path)
}

/// Removes it; false when there was none.
pub(crate) fn remove(context: &Context) -> Result<(bool, PathBuf), CliError> {
    let path = file(context);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok((true, path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((false, path)),
        Err(error) => Err(io_error("remove", &path, error)),
    }
}
