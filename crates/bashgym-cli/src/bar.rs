//! Bars on standard error, for a person who watches.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// A bar without a style of its own; it draws nothing where nobody watches.
pub(crate) fn plain_bar(output: Output) -> ProgressBar {
    let target = if output.is_live() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(None, target)
}

/// The same in the form of a template of `indicatif`.
pub(crate) fn bar(output: Output, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    plain_bar(output).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
