//! `bashgym data show`: a pushed dataset as Data Studio sees it.

use clap::Args;
use hf_datasets::{DatasetViewer, MAX_PAGE_ROWS, ViewerRow, ViewerRows, ViewerSplit, ViewerState};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};
use crate::progress::one_line;

/// So much of a text is shown to a person.
const SHOWN_CHARS: usize = 400;

/// Shows a pushed dataset: its splits, and some of its rows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym data show my-sessions
  bashgym data show my-sessions --split validation --offset 20 --rows 3")]
pub(crate) struct ShowArgs {
    /// The repository, with or without its namespace
    #[arg(value_name = "REPO")]
    repo: String,
    /// The config; the first one without it
    #[arg(long, value_name = "NAME")]
    config: Option<String>,
    /// The split; the first one without it
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// The first row to show
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
    /// How many rows to show
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=MAX_PAGE_ROWS))]
    rows: u64,
}

pub(crate) async fn run(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let repo = connection.repo_id(&args.repo)?;
    let viewer = DatasetViewer::new(&connection.client, repo.clone())?;
    match viewer.state().await? {
        ViewerState::Ready(_) => {}
        ViewerState::Pending => {
            return Err(
                CliError::new(Kind::Data, format!("the viewer has no rows of {repo} yet"))
                    .hint("ask again in a minute; the viewer reads a dataset some time after the push"),
            );
        }
        ViewerState::Unavailable { why, .. } => {
            return Err(
                CliError::new(Kind::Data, format!("the viewer does not show {repo}"))
                    .because(plain(&why))
                    .hint("the files themselves: bashgym data pull"),
            );
        }
    }
    let splits = viewer.splits().await?;
    let split = pick(&splits, args)?;
    let sizes = viewer.sizes().await?;
    let rows = viewer.rows(split, args.offset, args.rows).await?;
    if context.output.is_json() {
        context.output.json(&json!({
            "event": "dataset", "repo_id": repo.to_string(), "config": split.config, "split": split.split,
            "num_rows": rows.total, "features": rows.features.iter().map(|feature| json!({
                "name": feature.name, "type": feature.kind })).collect::<Vec<_>>(),
            "splits": sizes.iter().map(|size| json!({
                "config": size.config, "split": size.split, "num_rows": size.num_rows })).collect::<Vec<_>>(),
        }))?;
        for row in &rows.rows {
            context
                .output
                .json(&json!({ "event": "row", "index": row.index, "row": row.cells }))?;
        }
        return Ok(());
    }
    if context.output.is_human() {
        let mut listed = table(&["config", "split", "rows", "columns"]);
        for size in &sizes {
            let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
            listed.add_row([
                plain(&size.config),
                plain(&size.split),
                number(size.num_rows),
                number(size.num_columns),
            ]);
        }
        context.output.line(listed)?;
    }
    show(&rows, context)
}

fn pick<'a>(splits: &'a [ViewerSplit], args: &ShowArgs) -> Result<&'a ViewerSplit, CliError> {
    let fits = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    splits
        .iter()
        .find(|split| fits(&args.config, &split.config) && fits(&args.split, &split.split))
        .ok_or_else(|| {
            let known: Vec<String> = splits
                .iter()
                .map(|split| plain(&format!("{}/{}", split.config, split.split)))
                .collect();
            CliError::new(Kind::NotFound, "the dataset has no such config or split")
                .hint(format!("it has {}", known.join(", ")))
        })
}

fn show(rows: &ViewerRows, context: &Context) -> Result<(), CliError> {
    for row in &rows.rows {
        if context.output.is_human() {
            context
                .output
                .line(format!("\n{}", format!("row {}", row.index).bold()))?;
        }
        for line in lines(row) {
            context.output.line(line)?;
        }
    }
    Ok(())
}

/// A row as lines: conversations message by message, other cells as one line each.
fn lines(row: &ViewerRow) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, cell) in &row.cells {
        match conversation(cell) {
            Some(messages) => {
                lines.push(format!("  {}", plain(name).dimmed()));
                lines.extend(messages.into_iter().map(|line| format!("    {line}")));
            }
            None if cell.is_null() => {}
            None => {
                let text = cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
                lines.push(format!("  {}: {}", plain(name).dimmed(), short(&text)));
            }
        }
    }
    lines
}

/// The messages of a chat column, one a line; `None` if the cell is something else.
fn conversation(cell: &Value) -> Option<Vec<String>> {
    let messages = cell.as_array().filter(|messages| !messages.is_empty())?;
    messages
        .iter()
        .map(|message| {
            let role = message.get("role")?.as_str()?;
            let content = message.get("content").and_then(Value::as_str).unwrap_or_default();
            let calls: Vec<String> = message
                .get("tool_calls")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|call| {
                    let function = call.get("function").unwrap_or(call);
                    let part = |key: &str| function.get(key).and_then(Value::as_str).unwrap_or_default();
                    format!("{}({})", part("name"), short(part("arguments")))
                })
                .collect();
            let mut text = short(content);
            if !calls.is_empty() {
                text = format!("{text} {}", plain(&calls.join(" ")).cyan());
            }
            Some(format!("{} {}", format!("{}:", plain(role)).bold(), text.trim()))
        })
        .collect()
}

fn short(text: &str) -> String {
    plain(&one_line(text, SHOWN_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_shown_message_by_message() {
        let cell = json!([
            { "role": "user", "content": "fix\nthe \u{1b}[31mtest" },
            { "role": "assistant", "content": "", "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "Bash", "arguments": "{\"command\":\"ls\"}" } }
            ] },
        ]);
        let lines = conversation(&cell).unwrap();
        assert!(
            lines[0].contains("user:") && lines[0].contains("the"),
            "{lines:?}"
        );
        assert!(!lines[0].contains("\u{1b}[31mtest"), "{lines:?}");
        assert!(lines[1].contains("Bash({\"command\":\"ls\"})"), "{lines:?}");
        assert_eq!(conversation(&json!(["a"])), None);
        assert_eq!(conversation(&json!([])), None);
    }
}
