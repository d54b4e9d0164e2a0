//! Whose request a task works for: the client's address and user, for what the server's log says of
//! it, wherever it is written.

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::ids::UserId;

tokio::task_local! {
    static CLIENT: Client;
}

/// Who asked for what this task does.
#[derive(Debug)]
struct Client {
    address: IpAddr,
    user: OnceLock<UserId>,
}

/// Does the work for a client at this address.
pub async fn serve<F: Future>(address: IpAddr, work: F) -> F::Output {
    let client = Client {
        address: address.to_canonical(),
        user: OnceLock::new(),
    };
    CLIENT.scope(client, work).await
}

/// Does the work for the client that this task works for, if there is one: for work that goes on in
/// another task.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let (address, user) = (address(), user());
    async move {
        let Some(address) = address else {
            return work.await;
        };
        let known = async move {
            if let Some(user) = user {
                is_of(user);
            }
            work.await
        };
        serve(address, known).await
    }
}

/// The client's address; `None`: nobody asked for this.
pub fn address() -> Option<IpAddr> {
    CLIENT.try_with(|client| client.address).ok()
}

/// The client has proved to be this user's.
pub fn is_of(user: UserId) {
    // Whoever it was first stays.
    let _ = CLIENT.try_with(|client| client.user.set(user));
}

/// The client's user; `None`: a stranger, so far.
pub fn user() -> Option<UserId> {
    let user = CLIENT.try_with(|client| client.user.get().copied());
    user.ok().flatten()
}

/// The network that a client takes its addresses from at will: of IPv6 a /64.
pub fn network(address: IpAddr) -> String {
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
        let seen = serve(client, async { (address(), carry(async { address() })) }).await;
        let here = "192.0.2.1".parse().ok();
        assert_eq!(seen.0, here);
        assert_eq!(seen.1.await, here);
        assert_eq!(carry(async { address() }).await, None);
        let user = serve(client, async {
            let before = user();
            is_of(UserId(1));
            (before, user())
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
            assert_eq!(network(address.parse().unwrap()), shown);
        }
    }
}
