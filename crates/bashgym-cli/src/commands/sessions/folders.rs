//! Where the agents of this machine keep their sessions.

use std::path::PathBuf;

use bashgym_traces::AgentHomes;

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
