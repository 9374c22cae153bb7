//! Admission of connections: which are open, and which one is closed to make room for a new one.
//!
//! A connection is anonymous until one of its requests carries a valid token or key. Anonymous
//! connections never take the last quarter of `http.max_connections`. When they are too many, the
//! oldest one of the peer that has the most is closed: a peer that opens thousands only closes its
//! own. So there is no limit per peer to configure, and none that a proxy would exhaust: behind a
//! proxy all connections have one address, and the oldest is closed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Extensions;
use metrics::{counter, gauge};
use tokio::sync::Notify;

use crate::telemetry::fault::Fault;

static FULL: Fault = Fault::warn("connection limit reached");

/// All open connections.
pub struct Connections {
    max: usize,
    is_draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    authenticated: BTreeMap<u64, Arc<Client>>,
    /// By peer; ids are in order of age.
    anonymous: HashMap<IpAddr, BTreeMap<u64, Arc<Client>>>,
}

/// What a connection and its requests share.
pub struct Client {
    id: u64,
    peer: IpAddr,
    connections: Arc<Connections>,
    is_authenticated: AtomicBool,
    is_evicted: AtomicBool,
    /// Wakes the connection: it is evicted, or to be closed gracefully.
    signal: Notify,
}

/// An admitted connection. It counts as open until this is dropped.
pub struct Admitted(pub Arc<Client>);

impl Connections {
    /// Admits at most `max` connections.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, is_draining: AtomicBool::new(false), state: Mutex::default() })
    }

    /// Admits a connection, for which an anonymous one may be closed. `None` if the limit is reached
    /// by authenticated connections.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let peer = network(peer);
        let mut state = self.lock();
        let anonymous = state.count_anonymous();
        let is_full = state.authenticated.len() + anonymous >= self.max;
        if is_full || anonymous >= self.max_anonymous() {
            let Some(oldest) = state.take_oldest() else {
                FULL.occurred("all connections are authenticated, rejecting new ones");
                return None;
            };
            oldest.is_evicted.store(true, Ordering::Relaxed);
            oldest.signal.notify_one();
            counter!("qontak_receiver_connections_evicted_total").increment(1);
            FULL.occurred("closing the oldest connections without a valid token or key");
        }
        state.next_id += 1;
        let client = Arc::new(Client {
            id: state.next_id,
            peer,
            connections: self.clone(),
            is_authenticated: AtomicBool::new(false),
            is_evicted: AtomicBool::new(false),
            signal: Notify::new(),
        });
        state.anonymous.entry(peer).or_default().insert(client.id, client.clone());
        state.measure();
        Some(Admitted(client))
    }

    /// Closes each connection after its next response.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Closes all connections once their requests have ended.
    pub fn close(&self) {
        let state = self.lock();
        let anonymous = state.anonymous.values().flat_map(BTreeMap::values);
        anonymous.chain(state.authenticated.values()).for_each(|client| client.signal.notify_one());
    }

    /// Maximum number of anonymous connections.
    const fn max_anonymous(&self) -> usize {
        self.max - self.max / 4
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_anonymous(&self) -> usize {
        self.anonymous.values().map(BTreeMap::len).sum()
    }

    /// Removes the oldest anonymous connection of the peer that has the most of them.
    fn take_oldest(&mut self) -> Option<Arc<Client>> {
        let rank =
            |clients: &BTreeMap<u64, _>| (clients.len(), Reverse(clients.keys().next().copied()));
        let peer = *self.anonymous.iter().max_by_key(|(_, clients)| rank(clients))?.0;
        let (id, _) = self.anonymous.get(&peer)?.first_key_value()?;
        self.take_anonymous(peer, *id)
    }

    fn take_anonymous(&mut self, peer: IpAddr, id: u64) -> Option<Arc<Client>> {
        let clients = self.anonymous.get_mut(&peer)?;
        let client = clients.remove(&id);
        if clients.is_empty() {
            self.anonymous.remove(&peer);
        }
        client
    }

    fn measure(&self) {
        let anonymous = self.count_anonymous();
        gauge!("qontak_receiver_connections").set((self.authenticated.len() + anonymous) as f64);
        gauge!("qontak_receiver_connections_anonymous").set(anonymous as f64);
    }
}

impl Client {
    /// Whether the connection stays open after a response: if one of its requests carried a valid token
    /// or key, and the server is not about to stop.
    pub fn is_kept(&self) -> bool {
        self.is_authenticated.load(Ordering::Relaxed)
            && !self.connections.is_draining.load(Ordering::Relaxed)
    }

    /// Address of the peer; of IPv6 the network.
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Closes the connection once its requests have ended.
    pub fn close(&self) {
        self.signal.notify_one();
    }

    /// Resolves when the connection is to be closed: at once if true, else when its requests have
    /// ended.
    pub async fn closed(&self) -> bool {
        self.signal.notified().await;
        self.is_evicted.load(Ordering::Relaxed)
    }

    fn authenticate(&self) {
        if self.is_authenticated.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.connections.lock();
        // Not if it has ended or was evicted meanwhile.
        if let Some(client) = state.take_anonymous(self.peer, self.id) {
            state.authenticated.insert(self.id, client);
        }
        state.measure();
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.0.connections.lock();
        if state.take_anonymous(self.0.peer, self.0.id).is_none() {
            state.authenticated.remove(&self.0.id);
        }
        state.measure();
    }
}

/// Records that a request carries a valid token or key, given its extensions.
pub fn authenticate(extensions: &Extensions) {
    // Absent in tests that call the router without a server.
    if let Some(client) = extensions.get::<Arc<Client>>() {
        client.authenticate();
    }
}

/// The address that identifies a peer: a host with IPv6 has a network of 64 bits for itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn is_evicted(admitted: &Admitted) -> bool {
        admitted.0.is_evicted.load(Ordering::Relaxed)
    }

    #[test]
    fn peer_with_the_most_anonymous_connections_loses_its_oldest() {
        let connections = Connections::new(8);
        let other = connections.admit(peer(1)).unwrap();
        let many = [2; 5].map(|n| connections.admit(peer(n)).unwrap());
        let newest = connections.admit(peer(3)).unwrap();
        assert!([&other, &newest].iter().all(|one| !is_evicted(one)));
        assert_eq!(many.each_ref().map(is_evicted), [true, false, false, false, false]);
    }

    #[test]
    fn anonymous_connections_leave_a_quarter_to_authenticated_ones() {
        let connections = Connections::new(8);
        let mut admitted: Vec<_> =
            [1, 2].map(|n| connections.admit(peer(n)).unwrap()).into_iter().collect();
        admitted.iter().for_each(|one| one.0.authenticate());
        admitted.extend((3..=9).map(|n| connections.admit(peer(n)).unwrap()));
        let evicted: Vec<usize> = (0..9).filter(|i| is_evicted(&admitted[*i])).collect();
        assert_eq!(evicted, [2]);
        assert_eq!(connections.lock().count_anonymous(), 6);
    }

    #[test]
    fn connection_is_refused_only_if_all_are_authenticated() {
        let connections = Connections::new(2);
        let first = connections.admit(peer(1)).unwrap();
        let second = connections.admit(peer(1)).unwrap();
        first.0.authenticate();
        let third = connections.admit(peer(1)).unwrap();
        assert!(is_evicted(&second));
        third.0.authenticate();
        assert!(connections.admit(peer(1)).is_none());
        drop(first);
        assert!(connections.admit(peer(1)).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
    }
}
