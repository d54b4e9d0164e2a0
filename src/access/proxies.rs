//! Trusted proxies, and the client addresses in their headers. Pure: no I/O.
//!
//! `X-Forwarded-For` is a list to which each proxy appends the address of its peer; any client can
//! send an initial list. It is therefore read from the end, and only as far as trusted proxies
//! wrote it
//! (<https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For>).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;

use crate::limits;

/// The header in which proxies report the client's address.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Trusted proxies, from `TRUSTED_PROXIES`: comma-separated addresses and networks, such as
/// `127.0.0.1, 10.0.0.0/8`; empty by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(Vec<IpNetwork>);

/// The text is not a list of addresses and networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct TrustedProxiesError(String);

/// Whether a request reports a client address in its headers, and whether it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedClaim {
    /// The request has no such header.
    Absent,
    /// The header reports an address, but the peer is not trusted.
    Untrusted,
    /// The header reports an address, and the peer is trusted.
    Trusted,
}

/// The addresses that share their first `bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IpNetwork {
    address: IpAddr,
    bits: u32,
}

/// The shortest prefix of a public network of proxies: Cloudflare's widest are a /13 and a /29
/// (<https://www.cloudflare.com/ips/>).
const PUBLIC_V4_BITS_MIN: u32 = 12;
const PUBLIC_V6_BITS_MIN: u32 = 28;

/// Networks that are not routed on the internet: private, shared, loopback and link-local ones (RFC
/// 1918, 6598, 1122, 3927, 4193, 4291).
const PRIVATE: [IpNetwork; 8] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v6(0xfc00, 7),
    v6(0xfe80, 10),
];

const fn v4([a, b, c, d]: [u8; 4], bits: u32) -> IpNetwork {
    let address = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    IpNetwork { address, bits }
}

const fn v6(first: u16, bits: u32) -> IpNetwork {
    let address = IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0));
    IpNetwork { address, bits }
}

impl TrustedProxies {
    /// Reports whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first network that is public, and wider than that of any operator of proxies.
    pub fn too_wide_network(&self) -> Option<String> {
        let strange = self.0.iter().find(|network| network.is_too_wide());
        strange.map(|network| format!("{}/{}", network.address, network.bits))
    }

    /// Returns the address of the client whose request arrived from `peer` with `headers`.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        // As bytes: a list that the client sent need not be text, and its proxy's entry follows on
        // the same line.
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(limits::PROXY_HOPS_MAX) {
            if !self.trusts(client) {
                return client;
            }
            // A trusted proxy appends addresses; any other text ends the trusted part.
            let Some(address) = str::from_utf8(hop).ok().and_then(parse_hop) else {
                return client;
            };
            client = address;
        }
        client
    }

    /// Reports whether a request from `peer` with `headers` names its client, and whether that is
    /// trusted.
    pub fn forwarded_claim(&self, peer: IpAddr, headers: &HeaderMap) -> ForwardedClaim {
        if !headers.contains_key(FORWARDED_FOR) {
            ForwardedClaim::Absent
        } else if self.trusts(peer) {
            ForwardedClaim::Trusted
        } else {
            ForwardedClaim::Untrusted
        }
    }

    /// Reports whether `address` belongs to a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for TrustedProxies {
    type Err = TrustedProxiesError;

    fn from_str(text: &str) -> Result<Self, TrustedProxiesError> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts
            .map(|part| IpNetwork::parse(part).ok_or_else(|| TrustedProxiesError(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl IpNetwork {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bit_width = bit_width(address);
        let bits = bits.unwrap_or(bit_width);
        (bits <= bit_width).then_some(Self { address, bits })
    }

    fn is_too_wide(&self) -> bool {
        let widest = match self.address {
            IpAddr::V4(_) => PUBLIC_V4_BITS_MIN,
            IpAddr::V6(_) => PUBLIC_V6_BITS_MIN,
        };
        self.bits < widest
            && !PRIVATE
                .iter()
                .any(|private| private.contains_network(*self))
    }

    fn contains_network(self, other: Self) -> bool {
        other.bits >= self.bits && self.contains(other.address)
    }

    fn contains(&self, other: IpAddr) -> bool {
        let first = |address| to_number(address).checked_shr(bit_width(address) - self.bits);
        self.address.is_ipv4() == other.is_ipv4() && first(self.address) == first(other)
    }
}

fn bit_width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Parses an address as proxies write it: some add the port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<core::net::SocketAddr>().ok().map(|a| a.ip());
    let address = text.parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client_address(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let proxies: TrustedProxies = proxies.parse().unwrap();
        let client = proxies.client_address(peer.parse().unwrap(), &headers);
        client.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        let claim = &["203.0.113.9"];
        assert_eq!(client_address("", "198.51.100.1", claim), "198.51.100.1");
        assert_eq!(
            client_address("10.0.0.0/8", "198.51.100.1", claim),
            "198.51.100.1"
        );
        assert_eq!(
            client_address("10.0.0.0/8", "10.1.2.3", claim),
            "203.0.113.9"
        );
        assert_eq!(
            client_address("127.0.0.1", "::ffff:127.0.0.1", claim),
            "203.0.113.9"
        );
        assert_eq!(
            client_address("0.0.0.0/0, ::/0", "192.0.2.1", claim),
            "203.0.113.9"
        );
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let proxies = "10.0.0.0/8, 2001:db8:1::/48";
        let one = ["1.1.1.1, 203.0.113.9, 10.0.0.2"];
        assert_eq!(client_address(proxies, "10.0.0.1", &one), "203.0.113.9");
        let two = ["1.1.1.1", "203.0.113.9:5000", "[2001:db8:1::7]:443"];
        assert_eq!(client_address(proxies, "10.0.0.1", &two), "203.0.113.9");
    }

    #[test]
    fn what_is_no_text_does_not_hide_the_address_that_a_proxy_wrote_after_it() {
        let mut headers = HeaderMap::new();
        for line in [
            &b"\xe9\xff, 203.0.113.1"[..],
            b"203.0.113.9, \xe9, 10.0.0.2",
        ] {
            let value = HeaderValue::from_bytes(line).unwrap();
            headers.insert(FORWARDED_FOR, value);
            let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
            let client = proxies.client_address("10.0.0.1".parse().unwrap(), &headers);
            let expected = if line.starts_with(b"\xe9") {
                "203.0.113.1"
            } else {
                "10.0.0.2"
            };
            assert_eq!(client.to_string(), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_said_of_a_client_is_believed_of_a_trusted_proxy_alone() {
        let proxies: TrustedProxies = "127.0.0.1".parse().unwrap();
        let mut headers = HeaderMap::new();
        let [own, other] = ["127.0.0.1", "192.0.2.1"].map(|peer| peer.parse().unwrap());
        assert_eq!(
            proxies.forwarded_claim(own, &headers),
            ForwardedClaim::Absent
        );
        headers.insert(FORWARDED_FOR, "203.0.113.9".parse().unwrap());
        assert_eq!(
            proxies.forwarded_claim(own, &headers),
            ForwardedClaim::Trusted
        );
        assert_eq!(
            proxies.forwarded_claim(other, &headers),
            ForwardedClaim::Untrusted
        );
    }

    #[test]
    fn a_trail_that_breaks_ends_at_the_last_proxy() {
        for broken in ["", "unknown", "203.0.113.9, _hidden", "203.0.113.9,,"] {
            assert_eq!(
                client_address("10.0.0.1", "10.0.0.1", &[broken]),
                "10.0.0.1"
            );
        }
        let long = "10.0.0.1,".repeat(100_000);
        assert_eq!(client_address("10.0.0.1", "10.0.0.1", &[&long]), "10.0.0.1");
    }

    #[test]
    fn a_network_is_an_address_with_or_without_bits() {
        for wrong in [
            "x",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "/8",
        ] {
            let error = Err(TrustedProxiesError(wrong.to_owned()));
            assert_eq!(wrong.parse::<TrustedProxies>(), error, "{wrong}");
        }
        assert_eq!(" , ".parse(), Ok(TrustedProxies::default()));
    }
}
