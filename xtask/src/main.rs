//! The project's tasks: `cargo xtask <task>`.
//!
//! `demo` runs the main job on an embedded Hub, `test` runs every check there is, `tidy` checks who imports
//! whom, `frontend` builds the dashboard, `bench` prints measured figures, `deny` checks licences and sources, `conformance` runs the official
//! clients against the embedded Hub.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner talks to a terminal"
)]

mod bench;
mod conformance;
mod demo;
mod deny;
mod frontend;
mod postgres;
mod process;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <task>

Tasks:
  demo [-- PATH...]  build bashgym and run the main job on an embedded Hub, on the project's own
                     sample sessions or on yours
  test [--fast] [--with-postgres]
                     everything: format, lints, tidy, Rust tests, documentation, licences, conformance
                     (--fast leaves out licences and conformance; the store is tested on PostgreSQL where it
                     is installed, and --with-postgres fails where it is not)
  frontend [build|types|check|budget|e2e]
                     the dashboard: build it for the binary, make its types from the server, check it, hold
                     its size against the limit, test it in a browser
  conformance        the official clients against `bashgym hub serve` and `bashgym serve`; those in
                     JavaScript where node is installed
  tidy               who may import whom, and the project's house rules
  deny               licences, bans and sources of every dependency (cargo-deny)
  bench [cli|data|gateway|jobs|server|transfer|all] [--profile NAME]
                     measured figures beside their limits
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match task.as_str() {
        "demo" => demo::run(&rest),
        "test" => test::run(&rest),
        "frontend" => frontend::run(&rest),
        "conformance" => conformance::run(false).map(|tally| println!("{tally}")),
        "tidy" => tidy::run(),
        "deny" => deny::run(),
        "bench" => bench::run(&rest),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(anyhow::anyhow!("there is no task `{other}`\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
