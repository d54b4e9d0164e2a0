//! The `callburner` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    match callburner::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the process exits after this message")]
            {
                eprintln!("callburner: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
