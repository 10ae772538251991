//! The structured lines a training job prints among its other output.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a structured line begins with; JSON follows.
pub const MARKER: &str = "[bashgym] ";

/// One structured line of a training job. Lines of newer backends with keys unknown here stay readable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainProgress {
    /// What happened: `start`, `step`, `eval`, `checkpoint`, `done`, or a word unknown here.
    pub event: String,
    /// The rest of the line.
    #[serde(flatten)]
    pub detail: Map<String, Value>,
}

impl TrainProgress {
    /// Reads a line; anything but a marker with a JSON object that names its event is no progress.
    pub fn parse_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim_end().strip_prefix(MARKER)?).ok()
    }

    /// A number of the line, if it is there and finite.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.detail.get(key)?.as_f64().filter(|number| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::TrainProgress;

    #[test]
    fn only_marked_json_is_progress() {
        let line = r#"[bashgym] {"event":"step","step":3,"loss":3.2e-05}"#;
        let progress = TrainProgress::parse_line(line).unwrap();
        assert_eq!(
            (progress.event.as_str(), progress.number("loss")),
            ("step", Some(3.2e-5))
        );
        for other in [
            "loss: 3.2e-05",
            "Map: 100%|###| 8000/8000",
            "[bashgym] nonsense",
            "[bashgym] {\"step\":3}",
        ] {
            assert_eq!(TrainProgress::parse_line(other), None, "{other}");
        }
    }

    /// Acceptance case 22: numbers are read as they are, and bars of downloads are no progress.
    #[test]
    fn case_22_only_marker_lines_count_and_their_numbers_are_read_right() {
        let number = |text: &str| {
            let line = format!("[bashgym] {{\"event\":\"step\",\"loss\":{text}}}");
            TrainProgress::parse_line(&line).map(|progress| progress.number("loss"))
        };
        assert_eq!(number("3.2e-05"), Some(Some(3.2e-5)));
        assert_eq!(number("1.5e-03"), Some(Some(1.5e-3)));
        // The scripts write what JSON cannot hold as null; a line that has it bare is no line of theirs.
        assert_eq!(number("null"), Some(None));
        assert_eq!((number("NaN"), number("Infinity")), (None, None));
        for bar in [
            "Map: 100%|##########| 8000/8000 [00:01<00:00, 6437.30 examples/s]",
            "model.safetensors:  37%|###7      | 367M/988M [00:11<00:18, 33.1MB/s]",
            "{'loss': 3.2e-05, 'grad_norm': 1.5e-03, 'learning_rate': 2e-05, 'epoch': 0.1}",
        ] {
            assert_eq!(TrainProgress::parse_line(bar), None, "{bar}");
        }
    }
}
