//! `callburner migrate`: which step the database's tables are at, and the way to another one: back,
//! before an older program is installed again, or forward.

use std::fmt::Write;

use crate::cli;
use crate::config::DataSettings;
use crate::store::Store;

/// Say which step the database is at, or bring it to another, so that an older CallBurner can use it.
/// The server must not run; the way back keeps a copy beside the database.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// The step.
    #[arg(long)]
    to: Option<u32>,
    #[command(flatten)]
    data: DataSettings,
}

pub(super) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let url = args.data.database_url();
    let Some(to) = args.to else {
        let (step, newest) = (
            Store::migration_version(&url).await?,
            Store::latest_migration_version(),
        );
        return cli::print_stdout(&format!(
            "the database is at step {step}; this program knows steps 1 to {newest}\n"
        ));
    };
    let moved = Store::migrate_to(&url, to.into()).await?;
    let mut text = format!(
        "the database went from step {} to step {}\n",
        moved.from, moved.to
    );
    if let Some(copy) = &moved.copy {
        writeln!(
            text,
            "as it was: {}; delete that once all is well, for it keeps what is deleted from now on",
            copy.display()
        )?;
    }
    cli::print_stdout(&text)
}
