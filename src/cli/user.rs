//! `callburner user`: manages the users who can sign in. It changes the database directly, whether a server
//! is running or not. A password is typed without echo, or read as one line from standard input. There is no
//! flag for it, because other users of the machine, and the shell's history, would see it.

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, bail};
use console::Term;

use crate::access::password::{self, Password, PasswordHashPool};
use crate::cli;
use crate::clock::{self, UtcTime};
use crate::config::DataSettings;
use crate::ids::user_name;
use crate::limits;
use crate::store::{Role, Store, User};

/// Manage the users who can sign in.
#[derive(Debug, clap::Args)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    data: DataSettings,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Add a user; the first user becomes an admin.
    Add {
        /// Name that the user signs in with.
        name: String,
        /// Make the user an admin, who has all permissions. Other users can only place calls and see their
        /// own calls.
        #[arg(long)]
        admin: bool,
        /// Keep this password, because the user typed it. Without this flag, every user except the first must
        /// choose another password at the first sign-in.
        #[arg(long)]
        permanent: bool,
    },
    /// List the users who can sign in.
    List,
    /// Set a new password for a user. This signs the user out everywhere and revokes their API tokens.
    Passwd {
        /// Name of the user.
        name: String,
        /// Keep this password, because the user typed it. Without this flag, the user must choose another
        /// password at the next sign-in.
        #[arg(long)]
        permanent: bool,
    },
    /// Remove the second factor of a user who lost it. The user then signs in with only the password, until
    /// they set up another factor. This signs the user out everywhere.
    ResetFactor {
        /// Name of the user.
        name: String,
    },
    /// Remove a user. Their calls are kept, and only admins can see them.
    Remove {
        /// Name of the user.
        name: String,
    },
}

pub(super) async fn run(args: UserArgs) -> anyhow::Result<()> {
    let store = Store::open(&args.data.database_url()).await?;
    let text = run_command(&store, args.command, ask_for_password, clock::utc_now()).await?;
    store.close().await;
    cli::print_stdout(&text)
}

/// Runs the command and returns its output.
async fn run_command(
    store: &Store,
    command: UserCommand,
    ask: impl FnOnce() -> anyhow::Result<Password>,
    now: UtcTime,
) -> anyhow::Result<String> {
    let editor = UserEditor { store, now };
    match command {
        UserCommand::Add {
            name,
            admin,
            permanent,
        } => editor.add_user(&name, admin, permanent, ask).await,
        UserCommand::List => list_users(store).await,
        UserCommand::Passwd { name, permanent } => {
            editor.reset_password(&name, permanent, ask).await
        }
        UserCommand::ResetFactor { name } => editor.reset_second_factor(&name).await,
        UserCommand::Remove { name } => editor.remove_user(&name).await,
    }
}

/// Changes users and writes audit entries. Each change returns the command's output.
struct UserEditor<'s> {
    store: &'s Store,
    now: UtcTime,
}

impl UserEditor<'_> {
    async fn add_user(
        &self,
        name: &str,
        admin: bool,
        permanent: bool,
        ask: impl FnOnce() -> anyhow::Result<Password>,
    ) -> anyhow::Result<String> {
        let (store, now) = (self.store, self.now);
        let name = user_name::parse(name)?;
        let hash = hash_password(ask()?, &name).await?;
        let user = if store.has_users().await? {
            let role = if admin { Role::Admin } else { Role::User };
            if permanent {
                store.add_user(&name, &hash, role, now).await?
            } else {
                let added = store.add_user_with_temporary_password(&name, &hash, role, now);
                added.await?
            }
        } else {
            store.add_first_user(&name, &hash, now).await?
        };
        self.log_change("user_added", &user).await?;
        let text = format!("{} can sign in, as {}\n", user.name, role_name(&user));
        Ok(text + temporary_notice(user.password_is_temporary))
    }

    async fn reset_password(
        &self,
        name: &str,
        permanent: bool,
        ask: impl FnOnce() -> anyhow::Result<Password>,
    ) -> anyhow::Result<String> {
        let user = find_user(self.store, name).await?;
        let hash = hash_password(ask()?, &user.name).await?;
        let reset = self.store.reset_password(user.id, &hash, !permanent);
        reset.await?;
        self.log_change("password_changed", &user).await?;
        let text = format!("{} has a new password\n", user.name);
        Ok(text + temporary_notice(!permanent))
    }

    async fn reset_second_factor(&self, name: &str) -> anyhow::Result<String> {
        let user = find_user(self.store, name).await?;
        if !self.store.reset_second_factors(user.id).await? {
            bail!("{} has no second factor", user.name);
        }
        self.store.close_sessions(user.id).await?;
        self.log_change("second_factor_reset", &user).await?;
        Ok(format!("{} signs in with only the password\n", user.name))
    }

    async fn remove_user(&self, name: &str) -> anyhow::Result<String> {
        let user = find_user(self.store, name).await?;
        self.store.remove_user(user.id).await?;
        self.log_change("user_removed", &user).await?;
        Ok(format!("{} can no longer sign in\n", user.name))
    }

    /// Writes an audit entry for a change on the command line. A person who can run this command could also
    /// delete the entry, but it distinguishes a mistake from an attack.
    async fn log_change(&self, kind: &str, about: &User) -> anyhow::Result<()> {
        let detail = format!("user {}, on the command line", about.id.0);
        self.store.log(None, kind, &detail, None, self.now).await?;
        Ok(())
    }
}

async fn list_users(store: &Store) -> anyhow::Result<String> {
    let users = store.users().await?;
    let line = |user: &User| {
        format!(
            "{:<32} {:<8} {}\n",
            user.name,
            role_name(user),
            user.created_at
        )
    };
    let head = format!("{:<32} {:<8} SINCE\n", "NAME", "ROLE");
    Ok(head + &users.iter().map(line).collect::<String>())
}

async fn find_user(store: &Store, name: &str) -> anyhow::Result<User> {
    let found = store.credentials(name.trim()).await?;
    let (user, _) = found.with_context(|| format!("there is no user {name}"))?;
    Ok(user)
}

async fn hash_password(password: Password, name: &str) -> anyhow::Result<String> {
    password::check_strength(&password, name)?;
    Ok(PasswordHashPool::default().hash(password).await?)
}

/// Returns the notice about a temporary password; otherwise an empty string.
fn temporary_notice(is_temporary: bool) -> &'static str {
    if is_temporary {
        "the password is temporary: the user must choose another at the next sign-in\n"
    } else {
        ""
    }
}

fn role_name(user: &User) -> &'static str {
    match user.role {
        Role::Admin => "admin",
        Role::User => "user",
    }
}

/// Reads a password twice from the terminal without echo; without a terminal, reads one line of standard
/// input.
fn ask_for_password() -> anyhow::Result<Password> {
    if !io::stdin().is_terminal() {
        return read_password(io::stdin());
    }
    let terminal = Term::stderr();
    let ask = |what: &str| {
        terminal.write_str(what)?;
        terminal.read_secure_line()
    };
    let password = ask("New password: ")?;
    if password != ask("Repeat the password: ")? {
        bail!("the two passwords differ");
    }
    Ok(password.into())
}

/// Returns the first line of `input` without its line ending. An error if it is not UTF-8.
fn read_password(input: impl Read) -> anyhow::Result<Password> {
    // One byte more than the longest password, plus the line ending, so that a password that is too long is
    // detected.
    let mut bytes = Vec::new();
    let most = limits::PASSWORD_BYTES_MAX as u64 + 3;
    input.take(most).read_to_end(&mut bytes)?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).context("the password is not UTF-8, or far too long")?;
    Ok(text.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::password::{PasswordMatch, WeakPassword};

    const GOOD: &str = "correct horse";

    fn now() -> UtcTime {
        UtcTime::from_millis(1_800_000_000_000)
    }

    async fn store() -> Store {
        Store::open("sqlite::memory:").await.unwrap()
    }

    async fn run_typed(store: &Store, command: UserCommand, typed: &str) -> anyhow::Result<String> {
        let typed = || Ok(typed.to_owned().into());
        run_command(store, command, typed, now()).await
    }

    fn add(name: &str) -> UserCommand {
        UserCommand::Add {
            name: name.to_owned(),
            admin: false,
            permanent: false,
        }
    }

    fn passwd(name: &str, permanent: bool) -> UserCommand {
        let name = name.to_owned();
        UserCommand::Passwd { name, permanent }
    }

    async fn verdict(store: &Store, name: &str, password: &str) -> PasswordMatch {
        let kept = store.credentials(name).await.unwrap().map(|(_, kept)| kept);
        let password = password.to_owned().into();
        PasswordHashPool::default()
            .verify(password, kept, None)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_first_user_is_an_admin_and_the_list_shows_who_is_there() {
        let store = store().await;
        let text = run_typed(&store, add("Alice"), GOOD).await.unwrap();
        assert_eq!(text, "Alice can sign in, as admin\n");
        let text = run_typed(&store, add("bob"), GOOD).await.unwrap();
        assert!(text.starts_with("bob can sign in, as user\nthe password is temporary"));
        let temporary = store.users().await.unwrap();
        let temporary: Vec<bool> = temporary.iter().map(|u| u.password_is_temporary).collect();
        assert_eq!(temporary, [false, true]);
        assert!(run_typed(&store, add("ALICE"), GOOD).await.is_err());
        let list = run_typed(&store, UserCommand::List, "").await.unwrap();
        let rows: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let since = "2027-01-15T08:00:00.000Z";
        assert_eq!(
            rows,
            [
                ["NAME", "ROLE", "SINCE"],
                ["Alice", "admin", since],
                ["bob", "user", since]
            ]
        );
        assert_eq!(verdict(&store, "alice", GOOD).await, PasswordMatch::Right);
    }

    #[tokio::test]
    async fn a_bad_password_adds_and_changes_nothing() {
        let store = store().await;
        assert!(run_typed(&store, add("alice"), "short").await.is_err());
        assert!(!store.has_users().await.unwrap());
        run_typed(&store, add("alice"), GOOD).await.unwrap();
        let changed = run_typed(&store, passwd("alice", false), "password").await;
        assert!(changed.is_err());
        assert_eq!(verdict(&store, "alice", GOOD).await, PasswordMatch::Right);
    }

    #[tokio::test]
    async fn a_new_password_ends_sessions_api_tokens_and_the_old_one() {
        let store = store().await;
        run_typed(&store, add("alice"), GOOD).await.unwrap();
        let (user, _) = store.credentials("alice").await.unwrap().unwrap();
        store.open_session(&[7; 32], user.id, now()).await.unwrap();
        let scopes = [crate::store::Scope::CallsRead];
        let token = store.add_api_token(&[8; 32], user.id, "cron", &scopes, None, now());
        token.await.unwrap();
        let text = run_typed(&store, passwd("Alice", false), "another horse").await;
        assert!(text.unwrap().starts_with("alice has a new password\n"));
        assert!(store.session(&[7; 32]).await.unwrap().is_none());
        assert!(store.api_token(&[8; 32]).await.unwrap().is_none());
        let (user, _) = store.credentials("alice").await.unwrap().unwrap();
        assert!(user.password_is_temporary);
        assert_eq!(verdict(&store, "alice", GOOD).await, PasswordMatch::Wrong);
        let new = verdict(&store, "alice", "another horse").await;
        assert_eq!(new, PasswordMatch::Right);
        let text = run_typed(&store, passwd("alice", true), "a third horse").await;
        assert_eq!(text.unwrap(), "alice has a new password\n");
        let (user, _) = store.credentials("alice").await.unwrap().unwrap();
        assert!(!user.password_is_temporary);
    }

    #[tokio::test]
    async fn the_last_admin_cannot_be_removed_and_a_stranger_is_named() {
        let store = store().await;
        run_typed(&store, add("alice"), GOOD).await.unwrap();
        run_typed(&store, add("bob"), GOOD).await.unwrap();
        let remove = |name: &str| UserCommand::Remove {
            name: name.to_owned(),
        };
        assert!(run_typed(&store, remove("alice"), "").await.is_err());
        let unknown = run_typed(&store, remove("carol"), "").await.unwrap_err();
        assert_eq!(unknown.to_string(), "there is no user carol");
        let text = run_typed(&store, remove("bob"), "").await.unwrap();
        assert_eq!(text, "bob can no longer sign in\n");
        assert_eq!(store.users().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_second_factor_that_was_lost_is_taken_away() {
        let store = store().await;
        run_typed(&store, add("alice"), GOOD).await.unwrap();
        let (user, _) = store.credentials("alice").await.unwrap().unwrap();
        let reset = || UserCommand::ResetFactor {
            name: "Alice".to_owned(),
        };
        let none = run_typed(&store, reset(), "").await.unwrap_err();
        assert_eq!(none.to_string(), "alice has no second factor");
        let set = store.set_totp(user.id, &[1; 20], 0, &[[2; 32]], now());
        set.await.unwrap();
        store.open_session(&[7; 32], user.id, now()).await.unwrap();
        let text = run_typed(&store, reset(), "").await.unwrap();
        assert_eq!(text, "alice signs in with only the password\n");
        let (user, _) = store.credentials("alice").await.unwrap().unwrap();
        assert!(!user.has_second_factor);
        assert_eq!(store.recovery_codes_left(user.id).await.unwrap(), 0);
        assert!(store.session(&[7; 32]).await.unwrap().is_none());
    }

    #[test]
    fn a_password_is_the_first_line_and_no_more_is_read() {
        let check = |input: &[u8], name| {
            let read = read_password(input).unwrap();
            password::check_strength(&read, name)
        };
        // A password equal to the user's name is refused, which shows the text that was read.
        for input in ["correct horse", "correct horse\n", "correct horse\r\nmore"] {
            let seen = check(input.as_bytes(), GOOD);
            assert_eq!(seen, Err(WeakPassword::IsName), "{input:?}");
        }
        assert_eq!(check(b"", "alice"), Err(WeakPassword::TooShort));
        let long = vec![b'x'; 1_000_000];
        assert_eq!(check(&long, "alice"), Err(WeakPassword::TooLong));
    }
}
