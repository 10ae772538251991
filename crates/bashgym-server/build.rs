//! Puts the built dashboard into the binary: a table of the files in `frontend/dist/site`, empty where nothing was built.
//!
//! No other program is started here: a Rust build works without Node. `cargo xtask frontend` makes the files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let Some(here) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
        return Err(io::Error::other("cargo names no folder"));
    };
    let dist = here.join("../../frontend/dist");
    let dist = dist.canonicalize().unwrap_or(dist);
    let mut files = Vec::new();
    if dist.is_dir() {
        println!("cargo::rerun-if-changed={}", dist.display());
        let site = dist.join("site");
        if site.join("index.html").is_file() {
            walk(&site, &mut files)?;
        }
    }
    files.sort();
    let site = dist.join("site");
    let mut table = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&site).map_err(io::Error::other)?;
        let packed = |ending: &str| {
            let path = PathBuf::from(format!("{}.{ending}", file.display()));
            path.is_file().then_some(path)
        };
        let bytes = |path: &Path| format!("include_bytes!({:?})", path.display().to_string());
        let some =
            |path: Option<PathBuf>| path.map_or("None".to_owned(), |path| format!("Some({})", bytes(&path)));
        let _ = writeln!(
            table,
            "File {{ path: {:?}, plain: {}, gzip: {}, brotli: {} }},",
            format!("/{}", name.display()),
            bytes(&file),
            some(packed("gz")),
            some(packed("br")),
        );
    }
    table.push(']');
    let Some(out) = env::var_os("OUT_DIR") else {
        return Err(io::Error::other("cargo names no place for output"));
    };
    fs::write(Path::new(&out).join("dashboard.rs"), table)
}

/// Every file but the packed copies.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if !path
            .extension()
            .is_some_and(|ending| ending == "gz" || ending == "br")
        {
            files.push(path.canonicalize()?);
        }
    }
    Ok(())
}
