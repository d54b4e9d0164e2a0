//! `callburner user`: who may sign in, said to the database itself, whether a server runs on it or
//! not. A password is typed unseen, or comes as one line on standard input; it is never a flag,
//! which other users of the machine, and the shell's history, would see.

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

/// Say who may sign in.
#[derive(Debug, clap::Args)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    data: DataSettings,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Add a user; the first one becomes an admin.
    Add {
        /// What is typed to sign in.
        name: String,
        /// May everything, not only call and see own calls.
        #[arg(long)]
        admin: bool,
        /// The user typed the password, and keeps it. Without this, everyone but the first user has to
        /// choose another at the first sign-in.
        #[arg(long)]
        permanent: bool,
    },
    /// Show who may sign in.
    List,
    /// Give a user a new password; signs them out everywhere, and ends their API tokens.
    Passwd {
        /// Who.
        name: String,
        /// The user typed the password, and keeps it. Without this, another has to be chosen at the
        /// next sign-in.
        #[arg(long)]
        permanent: bool,
    },
    /// Take a user's second factor away, who lost it: the password alone signs them in, until they
    /// set another up. Signs them out everywhere.
    ResetFactor {
        /// Who.
        name: String,
    },
    /// Remove a user; their calls stay, for admins only.
    Remove {
        /// Who.
        name: String,
    },
}

pub(super) async fn run(args: UserArgs) -> anyhow::Result<()> {
    let store = Store::open(&args.data.database_url()).await?;
    let text = run_command(&store, args.command, ask_for_password, clock::utc_now()).await?;
    store.close().await;
    cli::print_stdout(&text)
}

/// Does what was asked, and returns what to print.
async fn run_command(
    store: &Store,
    command: UserCommand,
    ask: impl FnOnce() -> anyhow::Result<Password>,
    now: UtcTime,
) -> anyhow::Result<String> {
    match command {
        UserCommand::Add {
            name,
            admin,
            permanent,
        } => {
            let name = user_name::parse(&name)?;
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
            log_change(store, "user_added", &user, now).await?;
            let text = format!("{} may sign in, as {}\n", user.name, role_name(&user));
            Ok(text + temporary_notice(user.password_is_temporary))
        }
        UserCommand::List => {
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
        UserCommand::Passwd { name, permanent } => {
            let user = find_user(store, &name).await?;
            let hash = hash_password(ask()?, &user.name).await?;
            store.reset_password(user.id, &hash, !permanent).await?;
            log_change(store, "password_changed", &user, now).await?;
            let text = format!("{} has a new password\n", user.name);
            Ok(text + temporary_notice(!permanent))
        }
        UserCommand::ResetFactor { name } => {
            let user = find_user(store, &name).await?;
            if !store.reset_second_factors(user.id).await? {
                bail!("{} has no second factor", user.name);
            }
            store.close_sessions(user.id).await?;
            log_change(store, "second_factor_reset", &user, now).await?;
            Ok(format!("{} signs in with the password alone\n", user.name))
        }
        UserCommand::Remove { name } => {
            let user = find_user(store, &name).await?;
            store.remove_user(user.id).await?;
            log_change(store, "user_removed", &user, now).await?;
            Ok(format!("{} may not sign in any more\n", user.name))
        }
    }
}

/// Writes down what was done here: whoever may do it could also take the entry out, and a mistake is told
/// from an attack all the same.
async fn log_change(store: &Store, kind: &str, about: &User, now: UtcTime) -> anyhow::Result<()> {
    let detail = format!("user {}, on the command line", about.id.0);
    store.log(None, kind, &detail, None, now).await?;
    Ok(())
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

/// What else to say of a password.
fn temporary_notice(is_temporary: bool) -> &'static str {
    if is_temporary {
        "the password is temporary: another has to be chosen at the next sign-in\n"
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

/// From a terminal twice, unseen; else one line of standard input.
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
    if password != ask("Once more: ")? {
        bail!("the two are not the same");
    }
    Ok(password.into())
}

/// The first line of `input`, without its end.
fn read_password(input: impl Read) -> anyhow::Result<Password> {
    // One byte more than a password may have, and the line's end: what is too long stays so.
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
        assert_eq!(text, "Alice may sign in, as admin\n");
        let text = run_typed(&store, add("bob"), GOOD).await.unwrap();
        assert!(text.starts_with("bob may sign in, as user\nthe password is temporary"));
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
        assert_eq!(text, "bob may not sign in any more\n");
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
        assert_eq!(text, "alice signs in with the password alone\n");
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
        // The user's name is refused as a password, which shows what was read.
        for input in ["correct horse", "correct horse\n", "correct horse\r\nmore"] {
            let seen = check(input.as_bytes(), GOOD);
            assert_eq!(seen, Err(WeakPassword::IsName), "{input:?}");
        }
        assert_eq!(check(b"", "alice"), Err(WeakPassword::TooShort));
        let long = vec![b'x'; 1_000_000];
        assert_eq!(check(&long, "alice"), Err(WeakPassword::TooLong));
    }
}
