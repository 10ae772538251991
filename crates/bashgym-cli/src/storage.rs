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
    let me = match connection.client.whoami().await {
        Ok(me) => me,
        Err(error) => return unknown(error.to_string()),
    };
    let wallet = if me.name == owner {
        WalletOwner::Account
    } else {
        WalletOwner::Org(owner.to_owned())
    };
    let used = match StorageUse::read(&connection.client, &wallet).await {
        Ok(used) => used,
        Err(error) => return unknown(error.to_string()),
    };
    let plan = me.plan_in(owner);
    let limit = StorageUse::private_limit_bytes(&plan);
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
    fn what_does_not_fit_is_refused_with_a_way_out() {
        let free = refuse(&Plan::Free, "ada", 5_000_000, true).unwrap_err();
        assert_eq!(free.kind, Kind::Quota);
        let pro = refuse(&Plan::Pro, "ada", 5_000_000, false).unwrap_err();
        assert_eq!(pro.kind, Kind::Quota);
        refuse(&Plan::Pro, "ada", 5_000_000, true).unwrap();
    }
}
