//! Prints the description of the API: `cargo run -p bashgym-server --example openapi`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = bashgym_server::openapi_json()?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
