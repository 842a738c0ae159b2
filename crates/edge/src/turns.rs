//! Whose turn it is: one after the other by key, and by address among those with one key.

use std::collections::VecDeque;
use std::net::IpAddr;

/// The key and the address that a request counts for when turns are shared fairly. All requests
/// without a key have one place in the round together, also those from different addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    key: Option<String>,
    address: Option<IpAddr>,
}

impl Share {
    /// Of a request that is signed with this access key, or with none.
    pub fn new(key: Option<String>, address: Option<IpAddr>) -> Self {
        Self { key, address }
    }
}

/// A queue of queues: each inner queue has one turn a round.
struct Round<K, Q> {
    lines: VecDeque<(K, Q)>,
}

impl<K, Q> Default for Round<K, Q> {
    fn default() -> Self {
        Self { lines: VecDeque::new() }
    }
}

impl<K: PartialEq, Q: Default> Round<K, Q> {
    /// The line of this one; a new line comes after all others.
    fn line(&mut self, key: K) -> &mut Q {
        let at = self.lines.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            self.lines.push_back((key, Q::default()));
            self.lines.len() - 1
        });
        &mut self.lines[at].1
    }

    fn get(&self, key: &K) -> Option<&Q> {
        self.lines.iter().find(|(other, _)| other == key).map(|(_, line)| line)
    }

    fn len_of(&self, key: &K, len: impl Fn(&Q) -> usize) -> usize {
        self.get(key).map_or(0, len)
    }

    /// The longest line, and how long it is.
    fn longest(&self, len: impl Fn(&Q) -> usize) -> Option<(&K, usize)> {
        self.lines.iter().map(|(key, line)| (key, len(line))).max_by_key(|(_, len)| *len)
    }

    /// Takes from the line whose turn it is. That line then comes after all others, or is removed
    /// when it is empty.
    fn take<T>(
        &mut self,
        take: impl FnOnce(&mut Q) -> Option<T>,
        is_empty: impl Fn(&Q) -> bool,
    ) -> Option<T> {
        let (key, mut line) = self.lines.pop_front()?;
        let taken = take(&mut line);
        if !is_empty(&line) {
            self.lines.push_back((key, line));
        }
        taken
    }

    /// Takes from one line, which leaves when that empties it.
    fn take_from<T>(
        &mut self,
        key: &K,
        take: impl FnOnce(&mut Q) -> Option<T>,
        is_empty: impl Fn(&Q) -> bool,
    ) -> Option<T> {
        let at = self.lines.iter().position(|(other, _)| other == key)?;
        let taken = take(&mut self.lines[at].1);
        if is_empty(&self.lines[at].1) {
            self.lines.remove(at);
        }
        taken
    }
}

/// The requests of one key, by address.
type Addresses<T> = Round<Option<IpAddr>, VecDeque<T>>;

/// Requests that wait, in the order of their turns.
pub(crate) struct Turns<T> {
    keys: Round<Option<String>, Addresses<T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { keys: Round::default() }
    }
}

impl<T> Turns<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.lines.is_empty()
    }

    pub(crate) fn push(&mut self, share: &Share, waiter: T) {
        self.keys.line(share.key.clone()).line(share.line()).push_back(waiter);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let of_address = |line: &mut VecDeque<T>| line.pop_front();
        let of_key = |line: &mut Addresses<T>| line.take(of_address, VecDeque::is_empty);
        self.keys.take(of_key, |line| line.lines.is_empty())
    }

    /// Makes room for one more request of this share: takes the last request of the longest line,
    /// if that is longer than this share's own line. Keys are compared first, and then the
    /// addresses of one key.
    pub(crate) fn make_room_for(&mut self, share: &Share) -> Option<T> {
        let of_key = |line: &Addresses<T>| line.lines.iter().map(|(_, line)| line.len()).sum();
        let own = self.keys.len_of(&share.key, of_key);
        let (key, longest) = self.keys.longest(of_key)?;
        if longest > own {
            let (key, address) = (key.clone(), *self.keys.get(key)?.longest(VecDeque::len)?.0);
            return self.take_last(&Share { key, address });
        }
        let addresses = self.keys.get(&share.key)?;
        let own = addresses.len_of(&share.line(), VecDeque::len);
        let (address, longest) = addresses.longest(VecDeque::len)?;
        if longest <= own {
            return None;
        }
        let last_of = Share { key: share.key.clone(), address: *address };
        self.take_last(&last_of)
    }

    fn take_last(&mut self, share: &Share) -> Option<T> {
        let in_line = |line: &mut VecDeque<T>| line.pop_back();
        let of_key =
            |line: &mut Addresses<T>| line.take_from(&share.line(), in_line, VecDeque::is_empty);
        self.keys.take_from(&share.key, of_key, |line| line.lines.is_empty())
    }

    /// Removes a request from the middle of its line.
    pub(crate) fn remove(&mut self, share: &Share, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let in_line = |line: &mut VecDeque<T>| line.remove(line.iter().position(is_it)?);
        let of_key =
            |line: &mut Addresses<T>| line.take_from(&share.line(), in_line, VecDeque::is_empty);
        self.keys.take_from(&share.key, of_key, |line| line.lines.is_empty())
    }
}

impl Share {
    /// Its line among those of its key.
    fn line(&self) -> Option<IpAddr> {
        self.address.filter(|_| self.key.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(key: &str, last: u8) -> Share {
        let key = (!key.is_empty()).then(|| key.to_owned());
        Share::new(key, Some(IpAddr::from([127, 0, 0, last])))
    }

    fn order(waiters: &[(&str, u8)]) -> String {
        let mut turns = Turns::default();
        for (number, (key, last)) in waiters.iter().enumerate() {
            turns.push(&share(key, *last), number);
        }
        order_of(&mut turns)
    }

    fn order_of(turns: &mut Turns<usize>) -> String {
        std::iter::from_fn(|| turns.pop()).map(|number| number.to_string()).collect()
    }

    #[test]
    fn keys_take_turns_and_so_do_the_addresses_of_one() {
        assert_eq!(order(&[("a", 1), ("a", 1), ("a", 1), ("b", 1), ("b", 1)]), "03142");
        assert_eq!(order(&[("a", 1), ("a", 1), ("a", 2)]), "021");
        assert_eq!(order(&[("a", 1), ("a", 1), ("a", 2), ("b", 3), ("b", 3)]), "03241");
    }

    #[test]
    fn those_without_a_key_are_one() {
        assert_eq!(order(&[("", 1), ("", 2), ("", 3), ("a", 9), ("a", 9)]), "03142");
    }

    #[test]
    fn the_longest_line_makes_room_for_a_shorter_one() {
        let mut turns = Turns::default();
        for (number, (key, last)) in
            [("a", 1), ("a", 1), ("a", 2), ("b", 1), ("b", 1)].into_iter().enumerate()
        {
            turns.push(&share(key, last), number);
        }
        assert_eq!(turns.make_room_for(&share("a", 1)), None, "its own line is the longest");
        assert_eq!(turns.make_room_for(&share("a", 3)), Some(1), "the longest of its key");
        assert_eq!(turns.make_room_for(&share("b", 2)), Some(4), "keys are equal, addresses not");
        assert_eq!(turns.make_room_for(&share("c", 1)), Some(2), "that of another key");
        assert_eq!(order_of(&mut turns), "03");
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut turns = Turns::default();
        turns.push(&share("a", 1), 1);
        turns.push(&share("b", 1), 2);
        assert_eq!(turns.remove(&share("a", 1), |waiter| *waiter == 1), Some(1));
        assert_eq!(turns.remove(&share("c", 1), |_| true), None);
        assert_eq!(turns.pop(), Some(2));
        assert!(turns.is_empty());
    }
}
