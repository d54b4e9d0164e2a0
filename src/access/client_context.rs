//! The client that a task works for: its address and its user, for the server's log, in whichever
//! module an entry is written.

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::ids::UserId;

tokio::task_local! {
    static CLIENT: ClientContext;
}

/// The client that requested the current task's work.
#[derive(Debug)]
struct ClientContext {
    address: IpAddr,
    user: OnceLock<UserId>,
}

/// Runs `work` on behalf of a client at this address.
pub async fn run_for<F: Future>(address: IpAddr, work: F) -> F::Output {
    let client = ClientContext {
        address: address.to_canonical(),
        user: OnceLock::new(),
    };
    CLIENT.scope(client, work).await
}

/// Binds `work`, which continues in another task, to the client of the current task, if there is
/// one.
pub fn propagate<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let (address, user) = (current_address(), current_user());
    async move {
        let Some(address) = address else {
            return work.await;
        };
        let known = async move {
            if let Some(user) = user {
                set_user(user);
            }
            work.await
        };
        run_for(address, known).await
    }
}

/// Returns the client's address; `None` when no client requested the current work.
pub fn current_address() -> Option<IpAddr> {
    CLIENT.try_with(|client| client.address).ok()
}

/// Records that the client has authenticated as this user.
pub fn set_user(user: UserId) {
    // The first user is kept.
    let _ = CLIENT.try_with(|client| client.user.set(user));
}

/// Returns the client's user; `None` while the client has not authenticated.
pub fn current_user() -> Option<UserId> {
    let user = CLIENT.try_with(|client| client.user.get().copied());
    user.ok().flatten()
}

/// Formats the network within which a client can choose its addresses: for IPv6 the /64.
pub fn network_label(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let network = IpAddr::V6((v6.to_bits() >> 64 << 64).into());
            format!("{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_client_in_other_tasks_too() {
        let client: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let seen = run_for(client, async {
            (current_address(), propagate(async { current_address() }))
        })
        .await;
        let here = "192.0.2.1".parse().ok();
        assert_eq!(seen.0, here);
        assert_eq!(seen.1.await, here);
        assert_eq!(propagate(async { current_address() }).await, None);
        let user = run_for(client, async {
            let before = current_user();
            set_user(UserId(1));
            (before, current_user())
        });
        assert_eq!(user.await, (None, Some(UserId(1))));
    }

    #[test]
    fn a_client_of_many_addresses_is_one_network() {
        for (address, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network_label(address.parse().unwrap()), shown);
        }
    }
}
