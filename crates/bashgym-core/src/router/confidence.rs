//! How sure a model is of an answer, and how far that can be believed.

use hf_inference::{ChatReply, Choice, Message};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Resamples of an interval.
const RESAMPLES: u64 = 400;
/// Parts of equal width in which a calibration's error is measured.
const BINS: usize = 10;

/// What a confidence rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The log-probabilities of the answer's tokens.
    Logprobs,
    /// A call of a tool that does not fit what was offered.
    BadToolCall,
    /// The model gave nothing: what is believed of it in general.
    Evidence,
}

/// How sure a model is of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// What it rests on.
    pub signal: Signal,
    /// The signal itself: the geometric mean of the tokens' probabilities, 0 to 1.
    pub raw: f64,
    /// The probability that the answer is right, 0 to 1.
    pub probability: f64,
    /// Whether the probability was measured on held-out examples; else it is the raw signal.
    pub calibrated: bool,
}

impl Confidence {
    /// Looks at an answer. None where the model gave no signal.
    pub fn of(reply: &ChatReply, tools: &[Value], calibration: Option<&Calibration>) -> Option<Self> {
        let choice = reply.choices.first()?;
        if invalid_tool_call(&choice.message, tools).is_some() {
            return Some(Self::BAD_CALL);
        }
        Self::of_choice(choice, calibration)
    }

    /// Looks at the log-probabilities of an answer alone. None where the model gave none.
    pub fn of_choice(choice: &Choice, calibration: Option<&Calibration>) -> Option<Self> {
        let logprobs = choice.extra.get("logprobs")?.get("content")?.as_array()?;
        let values = logprobs.iter().filter_map(|token| token["logprob"].as_f64());
        Self::of_logprobs(values, calibration)
    }

    pub(super) const BAD_CALL: Self = Self {
        signal: Signal::BadToolCall,
        raw: 0.0,
        probability: 0.0,
        calibrated: true,
    };

    /// From the natural logarithms of the tokens' probabilities.
    pub fn of_logprobs(
        logprobs: impl Iterator<Item = f64>,
        calibration: Option<&Calibration>,
    ) -> Option<Self> {
        let (mut sum, mut count) = (0.0, 0.0);
        for logprob in logprobs.filter(|it| it.is_finite()) {
            sum += logprob.min(0.0);
            count += 1.0;
        }
        if count < 1.0 {
            return None;
        }
        let raw = (sum / count).exp();
        Some(Self {
            signal: Signal::Logprobs,
            raw,
            probability: calibration.map_or(raw, |it| it.probability(raw)),
            calibrated: calibration.is_some(),
        })
    }
}

/// Why a call of a tool does not fit the tools that were offered; none where all fit, or none is called.
pub fn invalid_tool_call(message: &Message, tools: &[Value]) -> Option<String> {
    for call in message.tool_calls.iter().flatten() {
        let name = &call.function.name;
        let Some(tool) = tools.iter().find(|tool| tool["function"]["name"] == **name) else {
            return Some(format!("there is no tool {name:?}"));
        };
        let arguments: Value = match serde_json::from_str(&call.function.arguments) {
            Ok(arguments) => arguments,
            Err(_) if call.function.arguments.trim().is_empty() => Value::Object(serde_json::Map::new()),
            Err(error) => return Some(format!("the arguments of {name} are no JSON: {error}")),
        };
        let Some(given) = arguments.as_object() else {
            return Some(format!("the arguments of {name} are no object"));
        };
        let schema = &tool["function"]["parameters"];
        for needed in schema["required"].as_array().into_iter().flatten() {
            if !needed.as_str().is_some_and(|needed| given.contains_key(needed)) {
                return Some(format!("{name} needs {needed}"));
            }
        }
        for (key, value) in given {
            let property = &schema["properties"][key.as_str()];
            if property.is_null() {
                if schema["additionalProperties"] == false {
                    return Some(format!("{name} takes no {key:?}"));
                }
                continue;
            }
            if !is_of_type(value, &property["type"]) {
                return Some(format!("{key} of {name} is of another type"));
            }
            let allowed = property["enum"].as_array();
            if allowed.is_some_and(|allowed| !allowed.contains(value)) {
                return Some(format!("{key} of {name} is none of what it may be"));
            }
        }
    }
    None
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind {
        Value::String(kind) => match kind.as_str() {
            "string" => value.is_string(),
            "integer" => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
            }
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => true,
        },
        Value::Array(kinds) => kinds.iter().any(|kind| is_of_type(value, kind)),
        _ => true,
    }
}

/// A step of a calibration: answers with a raw confidence from here on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// The least raw confidence of the step.
    pub from: f64,
    /// The greatest.
    pub to: f64,
    /// The share of right answers in it.
    pub probability: f64,
    /// Right answers.
    pub good: f64,
    /// Wrong answers.
    pub bad: f64,
}

/// What a model's confidence is worth, measured on examples whose right answer is known.
///
/// Steps that only rise (isotonic regression by pooling neighbours): it takes no shape for granted, which a logistic curve would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The steps, rising.
    pub points: Vec<CalibrationPoint>,
    /// Examples it rests on.
    pub examples: u64,
    /// The expected calibration error on examples it was not made from (two halves, each judged by the other).
    pub error: f64,
    /// 90 % of resampled sets of examples have an error between these.
    pub error_interval: (f64, f64),
    /// The same error of the raw confidence, taken as a probability.
    #[serde(default)]
    pub raw_error: f64,
    /// The mean squared distance from what was right, on the same examples (Brier's score; 0 is best, 0.25 is always saying a half).
    #[serde(default)]
    pub brier: f64,
    /// 90 % of resampled sets of examples have a score between these.
    #[serde(default)]
    pub brier_interval: (f64, f64),
    /// When it was kept; none before.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

impl Calibration {
    /// Measures, from raw confidences and whether the answers were right. None for fewer than twenty.
    pub fn fit(samples: &[(f64, bool)]) -> Option<Self> {
        if samples.len() < 20 || samples.iter().any(|(raw, _)| !raw.is_finite()) {
            return None;
        }
        // Examples come in an order that may mean something.
        let mut mixed = samples.to_vec();
        let mut random = Random(RESAMPLES);
        for at in (1..mixed.len()).rev() {
            mixed.swap(at, random.below(at + 1));
        }
        let half = |odd: bool| -> Vec<(f64, bool)> {
            let of_half = mixed.iter().enumerate().filter(|(at, _)| (at % 2 == 1) == odd);
            of_half.map(|(_, sample)| *sample).collect()
        };
        let (first, second) = (half(false), half(true));
        let (by_first, by_second) = (isotonic(&first), isotonic(&second));
        let mut judged: Vec<(f64, bool)> = Vec::with_capacity(samples.len());
        judged.extend(first.iter().map(|&(raw, good)| (look_up(&by_second, raw), good)));
        judged.extend(second.iter().map(|&(raw, good)| (look_up(&by_first, raw), good)));
        let mut errors = Vec::new();
        let mut scores = Vec::new();
        for round in 0..RESAMPLES {
            let mut random = Random(round);
            let drawn: Vec<(f64, bool)> = (0..judged.len())
                .map(|_| judged[random.below(judged.len())])
                .collect();
            errors.push(calibration_error(&drawn));
            scores.push(brier(&drawn));
        }
        Some(Self {
            points: isotonic(samples),
            examples: samples.len() as u64,
            error: calibration_error(&judged),
            error_interval: middle(errors),
            raw_error: calibration_error(samples),
            brier: brier(&judged),
            brier_interval: middle(scores),
            at: None,
        })
    }

    /// The probability that an answer of this raw confidence is right.
    pub fn probability(&self, raw: f64) -> f64 {
        look_up(&self.points, raw)
    }

    /// What asking again below `threshold` catches of the wrong answers, and takes of the right ones.
    pub fn caught_below(&self, threshold: f64) -> (f64, f64) {
        let sum = |of: &dyn Fn(&CalibrationPoint) -> f64, all: bool| -> f64 {
            let counted = self.points.iter().filter(|it| all || it.probability < threshold);
            counted.map(of).sum()
        };
        let share = |of: &dyn Fn(&CalibrationPoint) -> f64| {
            let all = sum(of, true);
            if all > 0.0 { sum(of, false) / all } else { 0.0 }
        };
        (share(&|it| it.bad), share(&|it| it.good))
    }
}

/// Pools neighbours until the steps only rise.
///
/// # Source
/// Barlow and others (1972), the pool-adjacent-violators algorithm.
fn isotonic(samples: &[(f64, bool)]) -> Vec<CalibrationPoint> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut steps: Vec<CalibrationPoint> = Vec::new();
    for (raw, good) in sorted {
        let good = f64::from(u8::from(good));
        steps.push(CalibrationPoint {
            from: raw,
            to: raw,
            probability: good,
            good,
            bad: 1.0 - good,
        });
        while let [.., below, above] = steps.as_slice()
            && (below.probability >= above.probability || below.to >= above.from)
        {
            let (good, bad) = (below.good + above.good, below.bad + above.bad);
            let pooled = CalibrationPoint {
                from: below.from,
                to: above.to,
                probability: good / (good + bad),
                good,
                bad,
            };
            steps.truncate(steps.len() - 2);
            steps.push(pooled);
        }
    }
    // One example more on either side: no handful of examples makes a model certain.
    for step in &mut steps {
        step.probability = (step.good + 0.5) / (step.good + step.bad + 1.0);
    }
    let mut least: f64 = 0.0;
    for step in &mut steps {
        least = least.max(step.probability);
        step.probability = least;
    }
    steps
}

fn look_up(points: &[CalibrationPoint], raw: f64) -> f64 {
    let at = points.partition_point(|point| point.from <= raw);
    let found = points.get(at.saturating_sub(1)).or_else(|| points.first());
    found.map_or(raw.clamp(0.0, 1.0), |point| point.probability)
}

fn calibration_error(judged: &[(f64, bool)]) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    for &(probability, good) in judged {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of ten bins"
        )]
        let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += probability;
        bins[bin].1 += f64::from(u8::from(good));
        bins[bin].2 += 1.0;
    }
    let all = judged.len().max(1) as f64;
    bins.iter().map(|(said, was, _)| (said - was).abs() / all).sum()
}

fn brier(judged: &[(f64, bool)]) -> f64 {
    let each = judged
        .iter()
        .map(|&(said, good)| (said - f64::from(u8::from(good))).powi(2));
    each.sum::<f64>() / judged.len().max(1) as f64
}

/// The middle 90 % of values.
fn middle(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let place = |percent: usize| values.get(values.len().saturating_sub(1) * percent / 100);
    (
        place(5).copied().unwrap_or_default(),
        place(95).copied().unwrap_or_default(),
    )
}

/// Repeatable random numbers.
///
/// # Source
/// Steele and others (2014), `SplitMix64`.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1, without 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A model that is right with the square of what it says: far too sure of itself.
    fn boaster(count: usize, seed: u64) -> Vec<(f64, bool)> {
        let mut random = Random(seed);
        (0..count)
            .map(|_| {
                let raw = random.share();
                (raw, random.share() < raw * raw)
            })
            .collect()
    }

    #[test]
    fn a_model_that_is_too_sure_is_corrected_on_answers_it_was_not_measured_on() {
        let raw_error = calibration_error(&boaster(2000, 1));
        let calibration = Calibration::fit(&boaster(2000, 1)).unwrap();
        let others: Vec<(f64, bool)> = boaster(4000, 2)
            .into_iter()
            .map(|(raw, good)| (calibration.probability(raw), good))
            .collect();
        let error = calibration_error(&others);
        assert!(raw_error > 0.12 && error < raw_error / 3.0, "{raw_error} {error}");
        let (low, high) = calibration.error_interval;
        assert!(
            low <= high && high < 0.08 && calibration.error < 0.05,
            "{calibration:?}"
        );
        assert!((calibration.raw_error - raw_error).abs() < 1e-9);
        let (low, high) = calibration.brier_interval;
        assert!(low < calibration.brier && calibration.brier < high && high < brier(&boaster(2000, 1)));
        let mut last = 0.0;
        for step in 0..=100 {
            let probability = calibration.probability(f64::from(step) / 100.0);
            assert!(probability >= last && probability <= 1.0);
            last = probability;
        }
        let (caught, lost) = calibration.caught_below(0.5);
        assert!(caught > 0.8 && lost < 0.5, "{caught} {lost}");
        assert_eq!(Calibration::fit(&boaster(19, 1)), None);
    }

    #[test]
    fn calls_are_held_against_the_tools_that_were_offered() {
        let tools = [
            json!({"type": "function", "function": {"name": "ls", "parameters": {"type": "object",
            "properties": {"path": {"type": "string"}, "depth": {"type": ["integer", "null"]}, "by": {"enum": ["name", "size"]}},
            "required": ["path"], "additionalProperties": false}}}),
        ];
        let call = |name: &str, arguments: &str| -> Message {
            serde_json::from_value(json!({"role": "assistant", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}]}))
            .unwrap()
        };
        for good in [
            r#"{"path":"."}"#,
            r#"{"path":".","depth":null}"#,
            r#"{"path":"a","depth":2,"by":"size"}"#,
        ] {
            assert_eq!(invalid_tool_call(&call("ls", good), &tools), None, "{good}");
        }
        for bad in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"path":1}"#,
            r#"{"path":".","depth":1.5}"#,
            r#"{"path":".","x":1}"#,
            r#"{"path":".","by":"age"}"#,
        ] {
            assert!(invalid_tool_call(&call("ls", bad), &tools).is_some(), "{bad}");
        }
        assert!(invalid_tool_call(&call("rm", "{}"), &tools).is_some());
        assert_eq!(invalid_tool_call(&Message::assistant("done"), &tools), None);
    }

    #[test]
    fn the_mean_of_logprobs_is_the_raw_confidence() {
        let sure = Confidence::of_logprobs([0.0, -0.2].into_iter(), None).unwrap();
        assert!((sure.raw - (-0.1_f64).exp()).abs() < 1e-12 && !sure.calibrated);
        assert_eq!(Confidence::of_logprobs([f64::NAN].into_iter(), None), None);
    }
}
