//! Whose request a task works for: the client's address and user, for what the server's log says of
//! it, wherever it is written.

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::ids::UserId;

tokio::task_local! {
    static CLIENT: ClientContext;
}

/// Who asked for what this task does.
#[derive(Debug)]
struct ClientContext {
    address: IpAddr,
    user: OnceLock<UserId>,
}

/// Does the work for a client at this address.
pub async fn run_for<F: Future>(address: IpAddr, work: F) -> F::Output {
    let client = ClientContext {
        address: address.to_canonical(),
        user: OnceLock::new(),
    };
    CLIENT.scope(client, work).await
}

/// Does the work for the client that this task works for, if there is one: for work that goes on in
/// another task.
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

/// The client's address; `None`: nobody asked for this.
pub fn current_address() -> Option<IpAddr> {
    CLIENT.try_with(|client| client.address).ok()
}

/// The client has proved to be this user's.
pub fn set_user(user: UserId) {
    // Whoever it was first stays.
    let _ = CLIENT.try_with(|client| client.user.set(user));
}

/// The client's user; `None`: a stranger, so far.
pub fn current_user() -> Option<UserId> {
    let user = CLIENT.try_with(|client| client.user.get().copied());
    user.ok().flatten()
}

/// The network that a client takes its addresses from at will: of IPv6 a /64.
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
