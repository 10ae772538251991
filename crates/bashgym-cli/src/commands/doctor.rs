//! `bashgym doctor`: looks at settings, home, Hub and token, and says what needs to be done.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use hf_core::{
    Access, Account, Feature, HfClient, MissingScope, Source, missing_scopes, smallest_scopes, token_page,
};
use serde::Serialize;
use serde_json::json;

use crate::account::Look;
use crate::context::Context;
use crate::error::{CliError, Kind, hf_kind};
use crate::job_token;
use crate::output::{plain, table};

/// A token that ends sooner than this is worth a word.
const SOON_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Check settings, Hub and token, and name what is missing.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 0 when nothing needs to be done. Otherwise it is that of the first check that needs it: 2 for settings,
4 for the token, 8 for a Hub that can not be reached, 10 for files.

Examples:
  bashgym doctor
  bashgym doctor --for jobs --for inference    only what these need")]
pub(crate) struct DoctorArgs {
    /// Look only at what this feature needs, by its name in `bashgym status --format json`; can be repeated
    #[arg(long = "for", value_name = "FEATURE", value_parser = feature)]
    features: Vec<Feature>,
}

fn feature(text: &str) -> Result<Feature, String> {
    Feature::ALL
        .into_iter()
        .find(|feature| feature.as_str() == text)
        .ok_or_else(|| {
            let names: Vec<&str> = Feature::ALL.into_iter().map(Feature::as_str).collect();
            format!("it is one of {}", names.join(", "))
        })
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// All is well.
    Ok,
    /// Worth knowing.
    Note,
    /// Something is to be done.
    Action,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    what: String,
    next: Option<String>,
    #[serde(skip)]
    kind: Kind,
}

#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, name: &'static str, what: impl Into<String>) {
        self.push(name, State::Ok, what.into(), None, Kind::Internal);
    }

    fn note(&mut self, name: &'static str, what: impl Into<String>, next: impl Into<String>) {
        self.push(name, State::Note, what.into(), Some(next.into()), Kind::Internal);
    }

    fn action(&mut self, name: &'static str, kind: Kind, what: impl Into<String>, next: impl Into<String>) {
        self.push(name, State::Action, what.into(), Some(next.into()), kind);
    }

    fn push(&mut self, name: &'static str, state: State, what: String, next: Option<String>, kind: Kind) {
        self.0.push(Check {
            name,
            state,
            what,
            next,
            kind,
        });
    }
}

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<(), CliError> {
    let mut report = Report::default();
    check_home(&mut report, context.home_path());
    let mut missing = Vec::new();
    let mut page = None;
    match Look::take(context).await {
        Ok(look) => {
            report.ok(
                "settings",
                "all settings can be read; `bashgym status` shows where each comes from",
            );
            check_hub(&mut report, &look);
            check_token(&mut report, &look);
            missing = missing_scopes(&look.facts);
            missing.retain(|scope| args.features.is_empty() || args.features.contains(&scope.feature));
            check_scopes(&mut report, &look, &missing);
            if !missing.is_empty() {
                // The page makes a new token, so it asks for all that is looked at, not for what is missing alone.
                let all = if args.features.is_empty() {
                    &Feature::ALL[..]
                } else {
                    &args.features
                };
                let needed = smallest_scopes(all.iter().copied());
                page = Some(token_page(look.settings.endpoint.as_str(), needed));
            }
            check_org(&mut report, &look);
            check_job_token(&mut report, &look, context).await?;
        }
        Err(error) if error.kind == Kind::Usage => {
            let next = error.hints().join("; ");
            report.action("settings", Kind::Usage, error.to_string(), next);
        }
        Err(error) => return Err(error),
    }
    let ask_for = smallest_scopes(missing.iter().map(|scope| scope.feature));
    show(context, &report, &missing, &ask_for, page.as_deref())?;
    let actions: Vec<&Check> = report
        .0
        .iter()
        .filter(|check| check.state == State::Action)
        .collect();
    let Some(first) = actions.first() else {
        return Ok(());
    };
    let error = CliError::new(
        first.kind,
        format!("{} of {} checks need action", actions.len(), report.0.len()),
    );
    Err(match &first.next {
        Some(next) if !next.is_empty() => error.hint(next.clone()),
        _ => error,
    })
}

fn check_home(report: &mut Report, home: &Path) {
    const NAME: &str = "home";
    let shown = home.display();
    match std::fs::metadata(home) {
        Ok(found) if !found.is_dir() => report.action(
            NAME,
            Kind::Io,
            format!("{shown} is not a folder"),
            "remove it, or set BASHGYM_HOME to another folder",
        ),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => report.action(
            NAME,
            Kind::Io,
            format!("others on this machine can look into {shown}"),
            format!("chmod 700 {shown}"),
        ),
        Ok(found) if found.permissions().readonly() => report.action(
            NAME,
            Kind::Io,
            format!("{shown} can not be written"),
            format!("chmod 700 {shown}"),
        ),
        Ok(_) => report.ok(NAME, format!("{shown} is this user's alone")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            report.ok(
                NAME,
                format!("{shown} is made by the first command that needs it"),
            );
        }
        Err(error) => report.action(
            NAME,
            Kind::Io,
            format!("{shown} can not be looked at: {error}"),
            "set BASHGYM_HOME to a folder of yours",
        ),
    }
}

fn check_hub(report: &mut Report, look: &Look) {
    const NAME: &str = "hub";
    let endpoint = look.endpoint.as_deref().unwrap_or("the embedded Hub");
    match &look.account {
        None => report.ok(
            NAME,
            "the embedded Hub starts with the first command that needs it",
        ),
        Some(Account::NoToken) => report.note(
            NAME,
            format!("{endpoint} was not asked: there is no token"),
            "`bashgym token set` stores one",
        ),
        Some(Account::Unknown(doubt)) => report.action(
            NAME,
            hf_kind(doubt.kind),
            format!("{endpoint} can not be asked: {}", doubt.message),
            doubt.hint.clone().unwrap_or_else(|| "try again later".to_owned()),
        ),
        Some(Account::Known {
            stale: Some(doubt),
            checked_at,
            ..
        }) => report.action(
            NAME,
            hf_kind(doubt.kind),
            format!(
                "{endpoint} can not be asked now (it answered at {checked_at}): {}",
                doubt.message
            ),
            doubt.hint.clone().unwrap_or_else(|| "try again later".to_owned()),
        ),
        Some(_) => report.ok(NAME, format!("{endpoint} answers")),
    }
}

fn check_token(report: &mut Report, look: &Look) {
    const NAME: &str = "token";
    let source = look.settings.sources().get("token");
    if let Some(Source::TokenFile { path }) = source
        && let Ok(found) = std::fs::metadata(path)
        && found.permissions().mode() & 0o077 != 0
    {
        report.action(
            "token_file",
            Kind::Io,
            format!("others on this machine can read {}", path.display()),
            format!("chmod 600 {}", path.display()),
        );
    }
    let from = source.map(ToString::to_string).unwrap_or_default();
    match &look.account {
        _ if look.embedded => report.ok(NAME, "the embedded Hub has one of its own"),
        Some(Account::NoToken) => report.note(
            NAME,
            "no token is set",
            "set HF_TOKEN, or `bashgym token set`; `--local` works without one",
        ),
        Some(Account::Refused(doubt)) => report.action(
            NAME,
            Kind::Auth,
            format!("the Hub refuses the token ({from}): {}", doubt.message),
            format!(
                "make a new one: {}",
                token_page(look.settings.endpoint.as_str(), smallest_scopes(Feature::ALL))
            ),
        ),
        Some(Account::Known { me, .. }) => {
            let role = me
                .token_role()
                .map_or_else(|| "unknown".to_owned(), ToString::to_string);
            match me.expires_at() {
                Some(end) if end.duration_since(look.facts.now).as_secs() < SOON_SECONDS => report.action(
                    NAME,
                    Kind::Auth,
                    format!("the token ({from}) ends at {end}"),
                    "make a new one in time: https://huggingface.co/settings/tokens",
                ),
                _ => report.ok(NAME, format!("{} signed in, role {role} ({from})", me.name)),
            }
        }
        _ => report.note(
            NAME,
            format!("not checked ({from})"),
            "solve the check of the Hub first",
        ),
    }
}

/// Which token jobs would carry: every package a job installs can read it.
async fn check_job_token(report: &mut Report, look: &Look, context: &Context) -> Result<(), CliError> {
    const NAME: &str = "job_token";
    let page = || token_page(look.settings.endpoint.as_str(), ["repo.write"]);
    let Some(me) = look.facts.me() else {
        return Ok(());
    };
    let own = job_token::find(context, &look.settings.endpoint)?;
    let (account, what) = match own {
        None => (
            Ok(Arc::new(me.clone())),
            "jobs get the token you work with".to_owned(),
        ),
        Some(own) => {
            let client = HfClient::from_settings(&look.settings)?.with_token(own.token)?;
            (
                client.whoami().await,
                format!("jobs get a token of their own ({})", own.origin),
            )
        }
    };
    match account.map(|account| account.beyond_repositories()) {
        Err(error) => report.action(
            NAME,
            hf_kind(error.kind()),
            format!("{what}, and the Hub does not take it: {error}"),
            "store another: `bashgym token set --for-jobs`",
        ),
        Ok(None) => report.ok(NAME, format!("{what}; the Hub does not tell what it may do")),
        Ok(Some(more)) if more.is_empty() => {
            report.ok(NAME, format!("{what}; it opens repositories alone"));
        }
        Ok(Some(_)) => report.note(
            NAME,
            format!(
                "{what}, and it may do more than write repositories; every package a job installs can read it"
            ),
            format!(
                "make one that may do no more ({}) and store it: `bashgym token set --for-jobs`",
                page()
            ),
        ),
    }
    Ok(())
}

fn check_scopes(report: &mut Report, look: &Look, missing: &[MissingScope]) {
    if look.facts.me().is_none() {
        return;
    }
    if missing.is_empty() {
        report.ok("scopes", "the token has every permission that is needed");
    }
    for scope in missing {
        report.action(
            "scopes",
            Kind::Auth,
            format!(
                "{}: the token lacks {} on {}",
                scope.feature, scope.permission, scope.namespace
            ),
            format!(
                "give it {} (https://huggingface.co/settings/tokens)",
                scope.permission
            ),
        );
    }
}

fn check_org(report: &mut Report, look: &Look) {
    const NAME: &str = "organisation";
    let (Some(me), Some(org)) = (look.facts.me(), look.settings.default_org.as_ref()) else {
        return;
    };
    match me.access(org.as_str(), "repo.content.read") {
        Access::NotMember => report.action(
            NAME,
            Kind::Auth,
            format!("{} is not a member of {org}", me.name),
            "correct HF_ORG or --org, or ask for an invitation",
        ),
        Access::Restricted(list) => report.action(
            NAME,
            Kind::Auth,
            format!("{org} does not let this token in: {}", list.join(", ")),
            format!("solve it at https://huggingface.co/{org}"),
        ),
        Access::OrgRole(role) => report.action(
            NAME,
            Kind::Auth,
            format!("the role in {org} is {role}"),
            format!("ask an administrator of {org} for another"),
        ),
        _ => report.ok(NAME, format!("{} is a member of {org}", me.name)),
    }
}

fn show(
    context: &Context,
    report: &Report,
    missing: &[MissingScope],
    ask_for: &[&str],
    page: Option<&str>,
) -> Result<(), CliError> {
    if !context.output.is_human() {
        let scopes: Vec<_> = missing
            .iter()
            .map(|scope| {
                json!({ "feature": scope.feature, "namespace": scope.namespace, "permission": scope.permission })
            })
            .collect();
        return context.output.json(&json!({
            "ok": report.0.iter().all(|check| check.state != State::Action),
            "checks": report.0,
            "missing_scopes": scopes,
            "ask_for": ask_for,
            "token_page": page,
        }));
    }
    let mut shown = table(&["check", "state", "what", "next"]);
    for check in &report.0 {
        let state = match check.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Action => "to do",
        };
        shown.add_row([
            check.name.to_owned(),
            state.to_owned(),
            plain(&check.what),
            plain(check.next.as_deref().unwrap_or_default()),
        ]);
    }
    context.output.line(shown)?;
    if let Some(page) = page {
        context
            .output
            .line(format!("\nThe least to ask for: {}", ask_for.join(", ")))?;
        context.output.line(format!(
            "A page that makes a token with all that is needed: {page}"
        ))?;
    }
    Ok(())
}
