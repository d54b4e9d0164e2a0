//! `callburner healthcheck`: checks the server on this machine; for containers, which have no other HTTP
//! client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longest wait for the server's response.
const RESPONSE_WAIT_MAX: Duration = Duration::from_secs(4);

/// Check that the server on this machine responds; the exit status is 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArgs {
    /// Port that the server listens on.
    #[arg(long, env = "PORT", default_value_t = 4000)]
    port: u16,
    /// Address that the server listens on.
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Check that the server can take a call, not only that the process is alive.
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(args: HealthcheckArgs) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable_address(args.host), args.port);
    check_server(address, args.ready).await
}

pub(crate) async fn check_server(address: SocketAddr, is_readiness: bool) -> anyhow::Result<()> {
    let path = if is_readiness { "readyz" } else { "healthz" };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(RESPONSE_WAIT_MAX);
    let answer = client.build()?.get(format!("http://{address}/{path}"));
    let answer = answer
        .send()
        .await
        .with_context(|| format!("no server responds at {address}: see its log"))?;
    if answer.status().is_success() {
        return Ok(());
    }
    bail!("the server is not healthy: {}", answer.text().await?)
}

/// Returns the address to connect to: the loopback address if the server listens on every address, otherwise
/// `host`.
fn reachable_address(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(
                reachable_address(host.parse().unwrap()).to_string(),
                expected
            );
        }
    }
}
