//! What several commands take: session logs by path or by agent, and shares.

use std::path::PathBuf;

use bashgym_traces::AgentHomes;

use crate::error::{CliError, Kind, io_error};

/// Reads the agents' own variables, those that move their folders.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the variables of the coding agents"
)]
pub(crate) fn agent_homes() -> AgentHomes {
    let named = |variable: &str| {
        std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    AgentHomes {
        home: std::env::home_dir().unwrap_or_default(),
        claude_config_dir: named("CLAUDE_CONFIG_DIR"),
        codex_home: named("CODEX_HOME"),
        gemini_cli_home: named("GEMINI_CLI_HOME"),
        xdg_data_home: named("XDG_DATA_HOME"),
        copilot_home: named("COPILOT_HOME"),
        pi_agent_dir: named("PI_CODING_AGENT_DIR"),
    }
}

/// Without paths, the folders where agents keep their sessions.
pub(crate) fn inputs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    if paths.is_empty() {
        let found: Vec<PathBuf> = agent_homes()
            .folders()
            .into_iter()
            .map(|folder| folder.path)
            .collect();
        if found.is_empty() {
            return Err(
                CliError::new(Kind::Data, "no coding agent has left sessions on this machine")
                    .hint("name a folder of session logs: bashgym run PATH"),
            );
        }
        return Ok(found);
    }
    paths
        .iter()
        .map(|path| std::path::absolute(path).map_err(|error| io_error("find", path, error)))
        .collect()
}

/// Reads a share: above 0, below 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("a share is a number above 0 and below 1".to_owned()),
    }
}
