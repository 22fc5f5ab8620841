//! A shared queue: messages from any plugin, taken out by any, and one reader that is told.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Budget, ENTRY};

/// The root context that is told of messages: the last one that registered the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Number of its VM.
    pub vm: u64,
    /// Its id there.
    pub root: u32,
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

#[derive(Debug)]
struct Inner {
    messages: VecDeque<Box<[u8]>>,
    reader: Reader,
    /// Wake-ups that are on their way. Never more than there are messages, whatever takes them out.
    wake_ups: usize,
}

impl Queue {
    pub(super) fn new(token: u32, reader: Reader, budget: Arc<Budget>) -> Self {
        let inner = Mutex::new(Inner { messages: VecDeque::new(), reader, wake_ups: 0 });
        Self { token, inner, budget }
    }

    /// What plugins know it by.
    pub fn token(&self) -> u32 {
        self.token
    }

    /// Who is told of messages.
    pub fn reader(&self) -> Reader {
        self.inner.lock().reader
    }

    /// Who is told of messages from now on.
    pub fn set_reader(&self, reader: Reader) {
        self.inner.lock().reader = reader;
    }

    /// Puts a message in; answers who is to be told, unless it is being told of as many as there are.
    ///
    /// # Errors
    /// There is no room.
    pub fn push(&self, message: &[u8]) -> Result<Option<Reader>, QueueFull> {
        let mut inner = self.inner.lock();
        if !self.budget.replace(0, size(message)) {
            return Err(QueueFull);
        }
        inner.messages.push_back(message.into());
        if inner.wake_ups >= inner.messages.len() {
            return Ok(None);
        }
        inner.wake_ups = inner.wake_ups.saturating_add(1);
        Ok(Some(inner.reader))
    }

    /// Takes the oldest message out.
    pub fn pop(&self) -> Option<Box<[u8]>> {
        let message = self.inner.lock().messages.pop_front()?;
        self.budget.replace(size(&message), 0);
        Some(message)
    }

    /// A wake-up arrived, or has nobody to go to.
    pub fn woken(&self) {
        let mut inner = self.inner.lock();
        inner.wake_ups = inner.wake_ups.saturating_sub(1);
    }
}

fn size(message: &[u8]) -> usize {
    message.len().saturating_add(ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: Reader = Reader { vm: 1, root: 2 };

    fn queue(limit: usize) -> Queue {
        Queue::new(7, READER, Arc::new(Budget { limit, used: Mutex::new(0) }))
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
    fn each_message_is_told_to_the_last_reader_that_registered() {
        let queue = queue(1000);
        assert_eq!(queue.push(b"a"), Ok(Some(READER)));
        let other = Reader { vm: 3, root: 4 };
        queue.set_reader(other);
        assert_eq!(queue.push(b"b"), Ok(Some(other)));
    }

    #[test]
    fn wake_ups_on_their_way_are_not_more_than_messages() {
        let queue = queue(10_000);
        for _ in 0..100 {
            let told = queue.push(b"x").unwrap();
            assert_eq!(told, Some(READER));
            assert_eq!(queue.push(b"y").unwrap(), Some(READER));
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
