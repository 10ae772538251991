//! Who the token belongs to, what it may do now, and what was spent: against a scripted Hub, so that it runs anywhere.
//!
//! `cargo run -p hf-core --features testing --example account_report`. With a real token, leave out `.transport(..)`.

use std::io::Write;
use std::sync::Arc;

use hf_core::testing::{Reply, ScriptedTransport};
use hf_core::{
    AccountCache, Facts, HfClient, Token, Wallet, WalletOwner, capabilities, missing_scopes, smallest_scopes,
    token_page,
};
use serde_json::json;

/// A Hub that knows one PRO account with a fine-grained token, and bills two jobs.
fn scripted_hub() -> ScriptedTransport {
    ScriptedTransport::answering(|request| {
        let value = match request.path() {
            "/api/whoami-v2" => {
                json!({"name": "ada", "isPro": true, "auth": {"type": "access_token", "accessToken": {
                "displayName": "laptop", "role": "fineGrained", "fineGrained": {"scoped": [
                    {"entity": {"_id": "1", "type": "user", "name": "ada"}, "permissions": ["repo.write", "user.billing.read"]}]}}}})
            }
            "/api/settings/billing/usage" => json!({
                "usage": {"Jobs": [{"product": "jobs/a10g-small/minutes", "totalCostMicroUSD": 350_000}]},
                "period": {"periodStart": "2026-10-01T00:00:00.000Z", "periodEnd": "2026-11-01T00:00:00.000Z"}}),
            _ => return Some(Reply::status(404)),
        };
        Some(Reply::json(200, value))
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    report(&mut std::io::stdout()).await
}

/// Writes the report.
pub(crate) async fn report(out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let client = HfClient::builder()
        .token(Token::parse("hf_not_a_real_token_of_anybody")?)
        .transport(Arc::new(scripted_hub()))
        .build()?;

    // An answer counts for five minutes; while the Hub is away the old one stays, marked stale.
    let account = AccountCache::new(client.clone()).get().await;
    let facts = Facts::new(&account, None, client.clock().now());
    for row in capabilities(&facts, client.refusals()) {
        let reason = row.why().or(row.limit()).unwrap_or_default();
        writeln!(
            out,
            "{:28} {:12} {reason}",
            row.feature.title(),
            row.availability.as_str()
        )?;
    }

    // What the token lacks, and the page that makes one with the least that is needed.
    let missing = missing_scopes(&facts);
    for scope in &missing {
        writeln!(out, "missing: {} for {}", scope.permission, scope.feature)?;
    }
    let least = smallest_scopes(missing.iter().map(|scope| scope.feature));
    writeln!(out, "{}", token_page(client.endpoint().as_str(), least))?;

    // Each part of the wallet fails by itself.
    if let Some(me) = account.me() {
        let wallet = Wallet::read(&client, me, &WalletOwner::Account).await;
        writeln!(out, "{}", serde_json::to_string_pretty(&wallet)?)?;
    }
    Ok(())
}
