//! The dataset's card, from its manifest.

use std::collections::BTreeMap;

use bashgym_traces::{DatasetManifest, Feature, FeatureKind, RowSet};
use hf_core::HfError;
use hf_datasets::card::{
    CardColumn, CardConfig, CardFact, CardFeature, CardFeatureKind, CardSplit, DatasetCard,
};

/// Renders the `README.md` of a dataset.
pub(crate) fn render(manifest: &DatasetManifest, repo_id: Option<&str>) -> Result<String, HfError> {
    let configs = manifest.row_sets.iter().map(config).collect();
    let counts = |map: &BTreeMap<String, u64>| {
        map.iter()
            .map(|(name, rows)| format!("{name} ({rows} rows)"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let card = DatasetCard {
        repo_id: repo_id.unwrap_or_default().to_owned(),
        pretty_name: "Coding agent sessions".to_owned(),
        summary: "Conversations of a person with coding agents, with tool calls and their results, made from session \
                  logs by Bash Gym. A session and everything that belongs to it stays in one split."
            .to_owned(),
        tags: vec!["bashgym".to_owned(), "agent-sessions".to_owned()],
        configs,
        columns: manifest.features.iter().map(column).collect(),
        features: manifest.row_sets.iter().map(types_of).collect(),
        lineage: vec![
            CardFact::new("sessions", manifest.sessions),
            CardFact::new("groups that stay together", manifest.groups),
            CardFact::new("agents", counts(&manifest.agents)),
            CardFact::new("models", counts(&manifest.models)),
            CardFact::new("made by", format!("{} {}", manifest.generator.name, manifest.generator.version)),
            CardFact::new("seed of the split", manifest.split.seed),
            CardFact::new("rows removed as equal to another", manifest.dedup.exact_removed),
            CardFact::new(
                format!(
                    "rows removed as near-duplicates (Jaccard similarity of {} or more)",
                    manifest.dedup.threshold
                ),
                manifest.dedup.near_removed,
            ),
            CardFact::new("compared with evaluation sets", eval_sets(manifest)),
            CardFact::new("rows removed as items of those", manifest.dedup.contaminated_removed),
            CardFact::new(
                format!("tasks left out with a score below {}", manifest.quality.min_score),
                manifest.losses.tasks_below_score,
            ),
            CardFact::new("rows that were cut to fit", manifest.truncated_rows),
        ],
        redactions: Some(manifest.gate.replaced.clone()),
        ..DatasetCard::default()
    };
    card.render()
}

fn config(set: &RowSet) -> CardConfig {
    CardConfig {
        name: set.config.clone(),
        splits: set
            .splits
            .iter()
            .map(|file| CardSplit {
                name: file.split.name().to_owned(),
                path: file.file.clone(),
                rows: file.rows,
            })
            .collect(),
    }
}

fn eval_sets(manifest: &DatasetManifest) -> String {
    let sets = &manifest.dedup.eval_sets;
    if sets.is_empty() {
        return "none were given".to_owned();
    }
    sets.iter()
        .map(|set| format!("{} ({} items)", set.name, set.items))
        .collect::<Vec<_>>()
        .join(", ")
}

fn column(feature: &Feature) -> CardColumn {
    let kind = match &feature.kind {
        FeatureKind::Dtype(dtype) => dtype.clone(),
        FeatureKind::List(_) => format!("list of {}", feature.name.trim_end_matches('s')),
        FeatureKind::Struct(fields) => {
            format!(
                "struct of {}",
                fields
                    .iter()
                    .map(|field| field.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
    };
    CardColumn {
        name: feature.name.clone(),
        kind,
        missing: 0,
    }
}

/// The types of a config's columns, by its name.
fn types_of(set: &RowSet) -> (String, Vec<CardFeature>) {
    (set.config.clone(), set.features.iter().map(typed).collect())
}

/// The column's type in the card's own words.
fn typed(feature: &Feature) -> CardFeature {
    let fields = |fields: &[Feature]| fields.iter().map(typed).collect();
    CardFeature {
        name: feature.name.clone(),
        kind: match &feature.kind {
            FeatureKind::Dtype(dtype) => CardFeatureKind::Dtype(dtype.clone()),
            FeatureKind::List(inner) => CardFeatureKind::List(fields(inner)),
            FeatureKind::Struct(inner) => CardFeatureKind::Struct(fields(inner)),
        },
    }
}
