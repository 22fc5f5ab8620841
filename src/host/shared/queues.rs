//! A shared queue: messages from any plugin, taken out by any, and the root contexts that registered it, one of which is
//! told.
//!
//! A reader leaves with its root or its VM; then the one before it is told. Messages that nobody could be told of wait for
//! the next.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Budget, ENTRY};

/// A root context that registered a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Number of its VM.
    pub vm: u64,
    /// Its id there.
    pub root: u32,
}

/// So many wake-ups have to be brought to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeUps {
    /// Who is told.
    pub reader: Reader,
    /// How often.
    pub count: usize,
}

/// A message was refused: the VM id holds as many bytes as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// See the module's text. Any thread.
#[derive(Debug)]
pub struct Queue {
    token: u32,
    inner: Mutex<Inner>,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Box<[u8]>>,
    /// The last is told of messages.
    readers: Vec<Reader>,
    /// Wake-ups that are on their way. Never more than there are messages, whatever takes them out.
    wake_ups: usize,
    /// Messages that nobody was told of, for lack of a reader.
    untold: usize,
}

impl Queue {
    pub(super) fn new(token: u32, budget: Arc<Budget>) -> Self {
        Self { token, inner: Mutex::default(), budget }
    }

    /// What plugins know it by.
    pub fn token(&self) -> u32 {
        self.token
    }

    /// A reader is told of messages from now on, and of those that nobody was told of. One that only `helps` another VM out
    /// is told while there is nobody else.
    pub fn add_reader(&self, reader: Reader, helps: bool) -> Option<WakeUps> {
        let mut inner = self.inner.lock();
        if !helps {
            inner.readers.retain(|other| *other != reader);
            inner.readers.push(reader);
        } else if !inner.readers.contains(&reader) {
            inner.readers.insert(0, reader);
        }
        inner.catch_up()
    }

    /// A reader is gone.
    pub fn remove_reader(&self, reader: Reader) -> Option<WakeUps> {
        let mut inner = self.inner.lock();
        inner.readers.retain(|other| *other != reader);
        inner.catch_up()
    }

    /// Puts a message in; answers who is to be told, unless it is being told of as many as there are.
    ///
    /// # Errors
    /// There is no room.
    pub fn push(&self, message: &[u8]) -> Result<Option<WakeUps>, QueueFull> {
        let mut inner = self.inner.lock();
        if !self.budget.replace(0, size(message)) {
            return Err(QueueFull);
        }
        inner.messages.push_back(message.into());
        inner.untold = inner.untold.saturating_add(1);
        Ok(inner.catch_up())
    }

    /// Takes the oldest message out.
    pub fn pop(&self) -> Option<Box<[u8]>> {
        let message = {
            let mut inner = self.inner.lock();
            let message = inner.messages.pop_front()?;
            inner.untold = inner.untold.min(inner.messages.len());
            message
        };
        self.budget.replace(size(&message), 0);
        Some(message)
    }

    /// A wake-up arrived.
    pub fn woken(&self) {
        let mut inner = self.inner.lock();
        inner.wake_ups = inner.wake_ups.saturating_sub(1);
    }

    /// A wake-up that arrived found its reader gone.
    pub fn missed(&self, reader: Reader) -> Option<WakeUps> {
        let mut inner = self.inner.lock();
        inner.readers.retain(|other| *other != reader);
        inner.untold = inner.untold.saturating_add(1).min(inner.messages.len());
        inner.catch_up()
    }
}

impl Inner {
    /// The reader is to be told of what nobody was told of.
    fn catch_up(&mut self) -> Option<WakeUps> {
        let reader = *self.readers.last()?;
        let most = self.messages.len().saturating_sub(self.wake_ups);
        let count = std::mem::take(&mut self.untold).min(most);
        self.wake_ups = self.wake_ups.saturating_add(count);
        (count > 0).then_some(WakeUps { reader, count })
    }
}

fn size(message: &[u8]) -> usize {
    message.len().saturating_add(ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: Reader = Reader { vm: 1, root: 2 };

    const TOLD: Option<WakeUps> = Some(WakeUps { reader: READER, count: 1 });

    fn queue(limit: usize) -> Queue {
        let queue = Queue::new(7, Arc::new(Budget { limit, used: Mutex::new(0) }));
        assert_eq!(queue.add_reader(READER, false), None);
        queue
    }

    #[test]
    fn messages_come_out_in_order() {
        let queue = queue(1000);
        queue.push(b"one").unwrap();
        queue.push(b"two").unwrap();
        assert_eq!((&*queue.pop().unwrap(), &*queue.pop().unwrap()), (&b"one"[..], &b"two"[..]));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn each_message_is_told_to_the_last_reader_that_is_there() {
        let queue = queue(1000);
        assert_eq!(queue.push(b"a"), Ok(TOLD));
        let other = Reader { vm: 3, root: 4 };
        assert_eq!(queue.add_reader(other, false), None, "of those that nobody was told of");
        assert_eq!(queue.push(b"b"), Ok(Some(WakeUps { reader: other, count: 1 })));
        assert_eq!(queue.add_reader(READER, true), None);
        assert_eq!(queue.push(b"c"), Ok(Some(WakeUps { reader: other, count: 1 })), "it helps only");
        assert_eq!(queue.remove_reader(other), None);
        assert_eq!(queue.push(b"d"), Ok(TOLD));
    }

    #[test]
    fn what_nobody_was_told_of_is_told_to_the_next_reader() {
        let queue = queue(1000);
        queue.push(b"a").unwrap();
        queue.push(b"b").unwrap();
        queue.woken();
        assert_eq!(queue.remove_reader(READER), None);
        queue.push(b"c").unwrap();
        queue.push(b"d").unwrap();
        queue.woken();
        assert_eq!(queue.missed(READER), None);
        queue.pop();
        assert_eq!(queue.add_reader(READER, true), Some(WakeUps { reader: READER, count: 3 }));
        assert_eq!(queue.add_reader(READER, false), None);
    }

    #[test]
    fn wake_ups_on_their_way_are_not_more_than_messages() {
        let queue = queue(10_000);
        for _ in 0..100 {
            let told = queue.push(b"x").unwrap();
            assert_eq!(told, TOLD);
            assert_eq!(queue.push(b"y").unwrap(), TOLD);
            queue.pop();
            queue.pop();
            // The two wake-ups have not arrived: two new messages need no others.
            assert_eq!((queue.push(b"x"), queue.push(b"y")), (Ok(None), Ok(None)));
            queue.pop();
            queue.pop();
            queue.woken();
            queue.woken();
        }
    }

    #[test]
    fn a_queue_that_nobody_reads_is_full_some_time() {
        let queue = queue(10 * (ENTRY + 1));
        for _ in 0..10 {
            queue.push(b"x").unwrap();
        }
        assert_eq!(queue.push(b"x"), Err(QueueFull));
        queue.pop();
        queue.push(b"x").unwrap();
    }
}
