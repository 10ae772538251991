//! A PostgreSQL server for the length of the tests: a cluster of its own in a temporary folder, on a socket there.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

use crate::process::{check, has};

/// The variable by which the tests find the server.
pub(crate) const VARIABLE: &str = "BASHGYM_TEST_POSTGRES";

/// A running server; it ends, and its folder goes, when this is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<User>,
}

impl Server {
    /// Starts a server, if PostgreSQL is installed.
    pub(crate) fn start() -> Result<Option<Self>> {
        let Some(programs) = programs() else {
            return Ok(None);
        };
        // The path of a socket may have about a hundred characters, so it is not below the target folder.
        let folder = std::env::temp_dir().join(format!("bashgym-postgres-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        let server = Self {
            user: unprivileged()?,
            folder,
            programs,
        };
        if let Some(user) = &server.user {
            chown(&server.folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .context("cannot hand the server's folder to its user")?;
        }
        let data = server.data();
        server.run(
            "initdb",
            &[
                "--pgdata",
                &data,
                "--username=bashgym",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
        )?;
        // Without a network address nobody else can reach it, and no port can be taken. The tests kill processes,
        // not machines: no need to wait for the disk.
        let settings = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=200 -c fsync=off",
            server.folder.display()
        );
        let log = server.folder.join("log").display().to_string();
        server.run(
            "pg_ctl",
            &[
                "--pgdata",
                &data,
                "--log",
                &log,
                "--options",
                &settings,
                "--wait",
                "start",
            ],
        )?;
        Ok(Some(server))
    }

    /// The address of the server's own database, in which tests may make others.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://bashgym@localhost/postgres?host={}",
            self.folder.display()
        )
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let program = self.programs.join(program);
        let mut command = match &self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid))
                    .args(["--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        command
            .args(args)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        check(&mut command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists()
            && let Err(error) = self.run("pg_ctl", &["--pgdata", &self.data(), "--mode=immediate", "stop"])
        {
            println!("the PostgreSQL server of the tests did not end: {error:#}");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest PostgreSQL that is installed: where Debian puts it, or on the path.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .collect();
    found.sort();
    if let Some((_, folder)) = found.pop() {
        return Some(folder);
    }
    (has("initdb") && has("pg_ctl")).then(PathBuf::new)
}

/// PostgreSQL does not run as root: the user it is run as then.
fn unprivileged() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("cannot read the users of this machine")? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// Says which server the tests use; without one, that they skip what needs it.
pub(crate) fn for_tests(required: bool) -> Result<Option<Server>> {
    let server = Server::start()?;
    match &server {
        Some(server) => println!("PostgreSQL for the tests: {}", server.programs.display()),
        None if required => bail!(
            "PostgreSQL is not installed, and the tests are to run on it: install Debian's package `postgresql`"
        ),
        None => println!("skipped: no PostgreSQL. The tests of the store run on SQLite alone."),
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::show;

    #[test]
    fn a_server_answers_and_leaves_nothing_behind() {
        let Some(server) = for_tests(false).unwrap() else {
            return;
        };
        let folder = server.folder.clone();
        let mut ask = Command::new(server.programs.join("psql"));
        ask.args([
            &server.url(),
            "--tuples-only",
            "--no-align",
            "--command",
            "SELECT 6 * 7",
        ]);
        let output = ask
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", show(&ask)));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");
        drop(server);
        assert!(!folder.exists());
    }
}
