//! `bashgym infer models`.

use clap::Args;
use hf_inference::{CatalogModel, HfInferenceClient, HfInferenceConfig, Routing};

use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Lists the models that are served, by whom and at what price.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym infer models qwen
  bashgym --format json infer models --cheapest llama-3.3")]
pub(crate) struct ModelsArgs {
    /// A part of the model's name
    #[arg(value_name = "TEXT", default_value = "")]
    search: String,
    /// The cheapest provider of each model first, not the fastest
    #[arg(long)]
    cheapest: bool,
}

pub(crate) async fn run(args: &ModelsArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let client = HfInferenceClient::new(&connection.client, HfInferenceConfig::default())?;
    let catalog = client.catalog().await?;
    let wanted = args.search.to_lowercase();
    let models = catalog.models();
    let found = models
        .iter()
        .filter(|model| model.id.to_lowercase().contains(&wanted));
    let output = context.output;
    if output.is_json() {
        for model in found {
            output.json(model)?;
        }
        return Ok(());
    }
    if !output.is_human() {
        for model in found {
            output.line(plain(&model.id))?;
        }
        return Ok(());
    }
    let routing = if args.cheapest {
        Routing::Cheapest
    } else {
        Routing::Fastest
    };
    let mut shown = table(&[
        "model", "provider", "context", "in $/M", "out $/M", "tokens/s", "tools",
    ]);
    let mut rows = 0_usize;
    for model in found {
        rows += add(&mut shown, model, routing);
    }
    if rows == 0 {
        output.note("No served model has this in its name.");
        return Ok(());
    }
    output.line(shown)
}

fn add(shown: &mut comfy_table::Table, model: &CatalogModel, routing: Routing) -> usize {
    let unknown = || "not known".to_owned();
    let live = model.live(routing);
    for (place, provider) in live.iter().enumerate() {
        let price = provider.price();
        let tools = provider
            .supports_tools
            .map_or("", |yes| if yes { "yes" } else { "no" });
        shown.add_row([
            if place == 0 {
                plain(&model.id)
            } else {
                String::new()
            },
            plain(provider.provider.as_str()),
            provider
                .context_length
                .map_or_else(String::new, |tokens| tokens.to_string()),
            price.map_or_else(unknown, |price| format!("{:.2}", price.input)),
            price.map_or_else(unknown, |price| format!("{:.2}", price.output)),
            provider
                .throughput
                .map_or_else(String::new, |speed| format!("{speed:.0}")),
            tools.to_owned(),
        ]);
    }
    live.len()
}
