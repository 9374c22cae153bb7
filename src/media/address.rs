//! Guard against server-side request forgery: which links and addresses may be connected to.
//!
//! The check is part of name resolution, so the address that was checked is the one that is connected to: a
//! name that resolves to another address a moment later gains nothing. A literal address in a link passes no
//! resolution and is checked before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use axum::http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::config::Media;

/// Why a link may not be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be parsed, or contains credentials.
    #[error("the link is not a URL that can be fetched")]
    Url,
    /// Its scheme is another one.
    #[error("the link is not https")]
    Scheme,
    /// Its host is not listed.
    #[error("the host of the link is not in media.hosts")]
    Host,
    /// Its host is inside a network.
    #[error("the host of the link has no public address")]
    Private,
}

/// Checks a link without its addresses.
pub fn check(settings: &Media, uri: &Uri) -> Result<(), Refused> {
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
        return Err(Refused::Url);
    };
    if authority.as_str().contains('@') {
        return Err(Refused::Url);
    }
    if uri.scheme_str() != Some("https")
        && !(uri.scheme_str() == Some("http") && settings.allow_loopback)
    {
        return Err(Refused::Scheme);
    }
    if !settings.hosts.is_empty() && !settings.hosts.iter().any(|own| own.contains(host)) {
        return Err(Refused::Host);
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    match literal.is_none_or(|address| may_connect(address, settings.allow_loopback)) {
        true => Ok(()),
        false => Err(Refused::Private),
    }
}

/// Resolves names to public addresses only.
#[derive(Clone)]
pub struct Resolver {
    /// Whether loopback addresses are resolved too.
    pub allow_loopback: bool,
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No address may be connected to.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name server does not know it, or does not answer.
    #[error(transparent)]
    Lookup(#[from] std::io::Error),
}

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| may_connect(address.ip(), allow_loopback)).collect();
            if allowed.is_empty() {
                return Err(Refused::Private.into());
            }
            Ok(allowed.into_iter())
        })
    }
}

fn may_connect(address: IpAddr, allow_loopback: bool) -> bool {
    (allow_loopback && address.is_loopback())
        || match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // Shared by carriers, protocol assignments, 6to4 relays, benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    // NAT64: how networks with IPv6 only reach IPv4.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Of the global addresses not those of documentation, and not those that contain others: Teredo, 6to4.
    segments[0] & 0xe000 == 0x2000
        && !(segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8))
        && segments[0] != 0x2002
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(text: &str) -> bool {
        may_connect(text.parse().unwrap(), false)
    }

    #[test]
    fn only_public_addresses_may_be_connected_to() {
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(inside), "{inside}");
        }
        for outside in
            ["8.8.8.8", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"]
        {
            assert!(is_public(outside), "{outside}");
        }
    }

    #[test]
    fn tests_may_connect_to_this_machine_and_to_no_other_network() {
        assert!(may_connect("127.0.0.1".parse().unwrap(), true));
        assert!(may_connect("::1".parse().unwrap(), true));
        assert!(!may_connect("10.0.0.1".parse().unwrap(), true));
    }
}
