//! `callburner healthcheck`: asks the server on this machine whether it is well; for containers,
//! which have no other program to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

/// Time that the server may take to answer.
const RESPONSE_WAIT_MAX: Duration = Duration::from_secs(4);

/// Ask the server on this machine whether it is well; ends with 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArgs {
    /// Port that the server listens on.
    #[arg(long, env = "PORT", default_value_t = 4000)]
    port: u16,
    /// Address that the server listens on.
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Ask whether a call could be taken, not only whether the process is alive.
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
        .with_context(|| format!("no server answers at {address}: see its log"))?;
    if answer.status().is_success() {
        return Ok(());
    }
    bail!("the server is not well: {}", answer.text().await?)
}

/// Where a server that listens on every address is reached.
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
