//! The dataset's card, from its manifest.

use bashgym_traces::{DatasetManifest, Feature, FeatureKind};
use hf_core::HfError;
use hf_datasets::card::{CardColumn, CardConfig, CardFact, CardSplit, DatasetCard};

/// Renders the `README.md` of a dataset.
pub(crate) fn render(manifest: &DatasetManifest, repo_id: Option<&str>) -> Result<String, HfError> {
    let splits = manifest
        .splits
        .iter()
        .map(|file| CardSplit {
            name: file.split.name().to_owned(),
            path: file.file.clone(),
            rows: file.rows,
        })
        .collect();
    let counts = |map: &std::collections::BTreeMap<String, u64>| {
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
        configs: vec![CardConfig { name: "default".to_owned(), splits }],
        columns: manifest.features.iter().map(column).collect(),
        lineage: vec![
            CardFact::new("sessions", manifest.sessions),
            CardFact::new("groups that stay together", manifest.groups),
            CardFact::new("agents", counts(&manifest.agents)),
            CardFact::new("models", counts(&manifest.models)),
            CardFact::new("made by", format!("{} {}", manifest.generator.name, manifest.generator.version)),
            CardFact::new("seed of the split", manifest.split.seed),
        ],
        redactions: Some(manifest.gate.replaced.clone()),
        ..DatasetCard::default()
    };
    card.render()
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
