//! What is stored at the Hub already, and whether more fits, before an upload begins.

use hf_core::{Plan, StorageUse, WalletOwner};
use serde_json::{Value, json};

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind};
use crate::output::bytes;

/// Says what is used and what will be, and refuses what cannot fit.
///
/// Where the Hub does not tell, that is said, and the upload goes on: the Hub decides then. `allow_extra` lets a plan that
/// pays for more go beyond what it includes.
pub(crate) async fn check(
    connection: &Connection,
    owner: &str,
    private: bool,
    new_bytes: u64,
    allow_extra: bool,
    context: &Context,
) -> Result<Value, CliError> {
    if connection.embedded {
        return Ok(json!({ "upload_bytes": new_bytes }));
    }
    let unknown = |why: String| {
        context.output.note(format!(
            "{} to upload; what {owner} stores already is not known: {why}",
            bytes(new_bytes)
        ));
        Ok(json!({ "upload_bytes": new_bytes, "unknown": why }))
    };
    let (plan, used, limit) = match storage_of(connection, owner).await {
        Ok(known) => known,
        Err(why) => return unknown(why),
    };
    let side = if private {
        used.private_bytes
    } else {
        used.public_bytes
    };
    let after = side.saturating_add(new_bytes);
    let kind = if private { "private" } else { "public" };
    let of = match limit.filter(|_| private) {
        Some(limit) => format!(" of {}", bytes(limit)),
        None => String::new(),
    };
    context.output.note(format!(
        "{owner} stores {}{of} {kind}; this upload adds at most {}.",
        bytes(side),
        bytes(new_bytes)
    ));
    if private
        && let Some(limit) = limit
        && after > limit
    {
        refuse(&plan, owner, after - limit, allow_extra)?;
    }
    Ok(json!({
        "upload_bytes": new_bytes, "used_bytes": side, "limit_bytes": limit.filter(|_| private), "plan": plan.to_string(),
    }))
}

/// Says before the first upload where things will be stored and who may read them, and what the owner stores already.
///
/// How much there will be is not known yet, so nothing is refused here.
pub(crate) async fn tell(connection: &Connection, dataset: &str, model: &str, context: &Context) {
    let place = if connection.embedded {
        "on this machine's own Hub".to_owned()
    } else {
        format!("at {}", connection.client.endpoint())
    };
    context.output.note(format!(
        "Stored {place}: the dataset {dataset} and the model {model}; both are private if they are new."
    ));
    if connection.embedded || context.output.is_json() {
        return;
    }
    let mut owners = vec![owner_of(dataset), owner_of(model)];
    owners.dedup();
    for owner in owners {
        match storage_of(connection, owner).await {
            Ok((_, used, limit)) => {
                let of = limit.map_or_else(String::new, |limit| format!(" of {}", bytes(limit)));
                context.output.note(format!(
                    "{owner} stores {}{of} private already.",
                    bytes(used.private_bytes)
                ));
            }
            Err(why) => context
                .output
                .note(format!("What {owner} stores already is not known: {why}")),
        }
    }
}

fn owner_of(repo: &str) -> &str {
    repo.split_once('/').map_or(repo, |(owner, _)| owner)
}

/// The plan of an owner, what is stored, and how much of it may be private; or why that is not known.
async fn storage_of(connection: &Connection, owner: &str) -> Result<(Plan, StorageUse, Option<u64>), String> {
    let me = connection
        .client
        .whoami()
        .await
        .map_err(|error| error.to_string())?;
    let wallet = if me.name == owner {
        WalletOwner::Account
    } else {
        WalletOwner::Org(owner.to_owned())
    };
    let used = StorageUse::read(&connection.client, &wallet)
        .await
        .map_err(|error| error.to_string())?;
    let plan = me.plan_in(owner);
    let limit = StorageUse::private_limit_bytes(&plan);
    Ok((plan, used, limit))
}

fn refuse(plan: &Plan, owner: &str, over: u64, allow_extra: bool) -> Result<(), CliError> {
    let error = CliError::new(
        Kind::Quota,
        format!(
            "the upload does not fit: {owner} would be {} over the private storage of its plan",
            bytes(over)
        ),
    )
    .hint("`bashgym wallet` shows what is used; delete what is no longer needed: bashgym data rm REPO");
    if *plan == Plan::Free {
        return Err(error
            .hint("PRO has 1 TB of private storage: https://huggingface.co/pro")
            .hint("a public dataset does not count there: --public, if everybody may read it"));
    }
    if allow_extra {
        return Ok(());
    }
    Err(error.hint("what goes beyond is billed at $18 per TB and month; --extra-storage agrees to that"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_what_stands_before_the_slash() {
        assert_eq!(owner_of("ada/bashgym-student"), "ada");
        assert_eq!(owner_of("bashgym-student"), "bashgym-student");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_way_out() {
        let free = refuse(&Plan::Free, "ada", 5_000_000, true).unwrap_err();
        assert_eq!(free.kind, Kind::Quota);
        let pro = refuse(&Plan::Pro, "ada", 5_000_000, false).unwrap_err();
        assert_eq!(pro.kind, Kind::Quota);
        refuse(&Plan::Pro, "ada", 5_000_000, true).unwrap();
    }
}
