//! Messages in hand: received from a stream, not acknowledged yet.
//!
//! A message is acknowledged when all its webhooks are committed. One that could not be committed stays in
//! hand for a limited time, so that another replica gets it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::event::Webhook;

/// Bits of a key for the place in the message; the others are its number.
const PLACE_BITS: u32 = 20;

/// Messages in hand; `A` acknowledges one.
pub struct Hand<A> {
    messages: BTreeMap<u64, Taken<A>>,
    /// Numbers by stream and sequence.
    numbers: HashMap<(usize, u64), u64>,
    next: u64,
    bytes: usize,
}

/// A message in hand.
pub struct Taken<A> {
    /// Stream and sequence.
    pub place: (usize, u64),
    /// Acknowledges the message.
    pub message: A,
    /// Its webhooks; `None` for those that are committed.
    pub webhooks: Vec<Option<Webhook>>,
    taken_at: Instant,
    /// Whether a commit of it was begun.
    is_attempted: bool,
    bytes: usize,
}

impl<A> Default for Hand<A> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), numbers: HashMap::new(), next: 0, bytes: 0 }
    }
}

impl<A> Hand<A> {
    /// Takes a message. If it is in hand already, what is committed of it stays so: the server has sent
    /// it again because no acknowledgement reached it in time.
    pub fn take(&mut self, place: (usize, u64), message: A, webhooks: Vec<Webhook>, bytes: usize) {
        let taken_at = Instant::now();
        if let Some(taken) = self.numbers.get(&place).and_then(|it| self.messages.get_mut(it)) {
            (taken.message, taken.taken_at) = (message, taken_at);
            return;
        }
        let webhooks = webhooks.into_iter().map(Some).collect();
        self.numbers.insert(place, self.next);
        let taken = Taken { place, message, webhooks, taken_at, is_attempted: false, bytes };
        self.messages.insert(self.next, taken);
        self.next += 1;
        self.bytes += bytes;
    }

    /// Number and size of the messages.
    pub fn size(&self) -> (usize, usize) {
        (self.messages.len(), self.bytes)
    }

    /// The first webhooks with their keys: at most `limit`, up to the one that reaches `max_bytes`.
    pub fn first(&mut self, limit: usize, max_bytes: u64) -> Vec<(u64, Webhook)> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (number, taken) in &mut self.messages {
            for (webhook, place) in taken.webhooks.iter().zip(0_u64..) {
                let Some(webhook) = webhook else { continue };
                if found.len() == limit || bytes >= max_bytes {
                    return found;
                }
                bytes += webhook.body.len() as u64;
                taken.is_attempted = true;
                found.push((number << PLACE_BITS | place, webhook.clone()));
            }
        }
        found
    }

    /// Removes webhooks by key; returns the messages that are committed as a whole.
    pub fn remove(&mut self, keys: &[u64]) -> Vec<Taken<A>> {
        let mut complete = Vec::new();
        for key in keys {
            let number = key >> PLACE_BITS;
            let place = usize::try_from(key & ((1 << PLACE_BITS) - 1)).expect("20 bits");
            // It may have been released meanwhile.
            let Some(taken) = self.messages.get_mut(&number) else { continue };
            taken.webhooks[place] = None;
            if taken.webhooks.iter().all(Option::is_none) {
                complete.extend(self.drop(number));
            }
        }
        complete
    }

    /// Removes the messages that could not be committed within `age`.
    pub fn release(&mut self, age: Duration) -> Vec<Taken<A>> {
        let is_old = |(number, taken): (&u64, &Taken<A>)| {
            (taken.is_attempted && taken.taken_at.elapsed() >= age).then_some(*number)
        };
        let numbers: Vec<u64> = self.messages.iter().filter_map(is_old).collect();
        numbers.into_iter().filter_map(|number| self.drop(number)).collect()
    }

    /// Removes all messages.
    pub fn release_all(&mut self) -> Vec<Taken<A>> {
        let numbers: Vec<u64> = self.messages.keys().copied().collect();
        numbers.into_iter().filter_map(|number| self.drop(number)).collect()
    }

    /// Messages that have waited for their first commit for `age`. Their time begins again.
    pub fn renew(&mut self, age: Duration) -> Vec<A>
    where
        A: Clone,
    {
        let mut renewed = Vec::new();
        for taken in self.messages.values_mut() {
            if !taken.is_attempted && taken.taken_at.elapsed() >= age {
                taken.taken_at = Instant::now();
                renewed.push(taken.message.clone());
            }
        }
        renewed
    }

    fn drop(&mut self, number: u64) -> Option<Taken<A>> {
        let taken = self.messages.remove(&number)?;
        self.numbers.remove(&taken.place);
        self.bytes -= taken.bytes;
        Some(taken)
    }
}

impl<A> Taken<A> {
    /// The webhooks that are not committed, if others of the message are.
    pub fn rest(&self) -> Option<Vec<Webhook>> {
        let rest: Vec<Webhook> = self.webhooks.iter().flatten().cloned().collect();
        (rest.len() < self.webhooks.len()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, Timestamp};

    fn webhook(body: &'static str) -> Webhook {
        let received_at = Timestamp::from_micros(1_749_694_503_123_456).unwrap();
        Webhook {
            id: EventId::next(received_at),
            received_at,
            endpoint: "default".into(),
            organization_id: None,
            body: body.into(),
            request_id: String::new(),
            is_damaged: false,
        }
    }

    fn bodies(hand: &mut Hand<&str>) -> Vec<String> {
        let all = hand.first(100, u64::MAX);
        all.iter().map(|(_, it)| String::from_utf8(it.body.to_vec()).unwrap()).collect()
    }

    #[test]
    fn message_is_complete_when_all_its_webhooks_are_removed() {
        let mut hand = Hand::default();
        hand.take((0, 7), "first", vec![webhook("a"), webhook("b")], 20);
        hand.take((1, 7), "second", vec![webhook("c")], 10);
        let keys: Vec<u64> = hand.first(2, 100).into_iter().map(|(key, _)| key).collect();
        assert!(hand.remove(&keys[..1]).is_empty());
        assert_eq!(bodies(&mut hand), ["b", "c"]);
        let complete = hand.remove(&keys);
        assert_eq!(complete.iter().map(|taken| taken.message).collect::<Vec<_>>(), ["first"]);
        assert_eq!((bodies(&mut hand), hand.size()), (vec!["c".to_owned()], (1, 10)));
    }

    #[test]
    fn message_that_is_sent_again_keeps_what_is_committed_and_its_new_acknowledgement() {
        let mut hand = Hand::default();
        let both = || vec![webhook("a"), webhook("b")];
        hand.take((0, 7), "first", both(), 20);
        let keys: Vec<u64> = hand.first(2, 100).into_iter().map(|(key, _)| key).collect();
        hand.remove(&keys[..1]);
        hand.take((0, 7), "again", both(), 20);
        assert_eq!((bodies(&mut hand), hand.size()), (vec!["b".to_owned()], (1, 20)));
        assert_eq!(hand.remove(&keys[1..])[0].message, "again");
    }

    #[test]
    fn message_that_could_not_be_committed_is_released_and_its_rest_is_known() {
        let mut hand = Hand::default();
        hand.take((0, 7), "first", vec![webhook("a"), webhook("b")], 20);
        hand.take((0, 8), "second", vec![webhook("c")], 10);
        let keys: Vec<u64> = hand.first(1, 100).into_iter().map(|(key, _)| key).collect();
        hand.remove(&keys);
        assert!(hand.release(Duration::from_secs(60)).is_empty());
        // The second one waits for its first commit.
        let released = hand.release(Duration::ZERO);
        assert_eq!(released.iter().map(|taken| taken.message).collect::<Vec<_>>(), ["first"]);
        assert_eq!(released[0].rest().map(|rest| rest.len()), Some(1));
        assert!(hand.renew(Duration::from_secs(60)).is_empty());
        assert_eq!(hand.renew(Duration::ZERO), ["second"]);
        let released = hand.release_all();
        // Nothing of it is committed, so it can be sent again as it is.
        assert!(released.len() == 1 && released[0].rest().is_none());
        assert_eq!((bodies(&mut hand), hand.size()), (Vec::new(), (0, 0)));
        // A commit that ends only now.
        assert!(hand.remove(&keys).is_empty());
    }
}
