//! `callburner migrate`: shows which migration step the database is at, or migrates it to another step:
//! backwards before an older program is installed, or forwards.

use std::fmt::Write;

use crate::cli;
use crate::config::DataSettings;
use crate::store::Store;

/// Show which migration step the database is at, or migrate it to another step, so that an older CallBurner
/// can open it. Stop the server first. A migration backwards keeps a copy beside the database.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// Step to migrate to; without it, only show the current step.
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
            "the database is at step {step}; this program supports steps 1 to {newest}\n"
        ));
    };
    let moved = Store::migrate_to(&url, to.into()).await?;
    let mut text = format!(
        "the database was migrated from step {} to step {}\n",
        moved.from, moved.to
    );
    if let Some(copy) = &moved.copy {
        writeln!(
            text,
            "copy of the database as it was: {}; delete the copy once everything works, because it \
             keeps calls that you delete from now on",
            copy.display()
        )?;
    }
    cli::print_stdout(&text)
}
