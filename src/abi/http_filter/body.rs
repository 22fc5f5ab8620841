//! Body buffers. There is no insert: to replace a range, read all, drain all, append what it shall be.

use super::super::buffer::{Buffers, lend};
use super::super::table::callbacks;
use super::super::types::{BodyType, Direction};
use super::HttpFilterHandle;

impl HttpFilterHandle {
    /// How many bytes a body buffer has; 0 if there is no such buffer now.
    pub fn body_len(&self, body: BodyType) -> usize {
        let (Some(size), Some(envoy)) = (callbacks().http_get_body_size, self.envoy()) else { return 0 };
        // SAFETY: F2, F3.
        unsafe { size(envoy, body.number()) }
    }

    /// The bytes of a body buffer, in the pieces that Envoy keeps them in.
    pub fn body_chunks(&self, body: BodyType) -> Buffers<'_> {
        let (Some(size), Some(chunks), Some(envoy)) =
            (callbacks().http_get_body_chunks_size, callbacks().http_get_body_chunks, self.envoy())
        else {
            return Buffers::none();
        };
        // SAFETY: F2, F3.
        let count = unsafe { size(envoy, body.number()) };
        let fill = |out| {
            // SAFETY: F2, F3, F8: the array has as many entries as Envoy has just said.
            unsafe { chunks(envoy, body.number(), out) }
        };
        // SAFETY: F7, F8.
        unsafe { Buffers::collect(count, fill) }
    }

    /// Removes bytes from the front of a body buffer: `len` of them, or all if there are fewer. False if there is no
    /// such buffer now.
    pub fn drain_body(&mut self, body: BodyType, len: usize) -> bool {
        let (Some(drain), Some(envoy)) = (callbacks().http_drain_body, self.envoy()) else { return false };
        // SAFETY: F2, F3.
        unsafe { drain(envoy, body.number(), len) }
    }

    /// Adds bytes at the end of a body buffer. A received buffer exists only in its hook (else: false); a buffered
    /// one is made if there is none.
    pub fn append_body(&mut self, body: BodyType, data: &[u8]) -> bool {
        let (Some(append), Some(envoy)) = (callbacks().http_append_body, self.envoy()) else { return false };
        // SAFETY: F2, F3, F9.
        unsafe { append(envoy, body.number(), lend(data)) }
    }

    /// Whether the received and the buffered body of a direction are one object now, so that reading both would read
    /// it twice. False before Envoy 1.38, where that is not so.
    pub fn is_received_buffered(&self, direction: Direction) -> bool {
        let is_buffered = match direction {
            Direction::Request => callbacks().http_received_buffered_request_body,
            Direction::Response => callbacks().http_received_buffered_response_body,
        };
        let (Some(is_buffered), Some(envoy)) = (is_buffered, self.envoy()) else { return false };
        // SAFETY: F2, F3.
        unsafe { is_buffered(envoy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    #[test]
    fn a_body_is_read_in_chunks() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.bodies[1] = Some(vec![b"hello ".to_vec(), b"world".to_vec()]);
        envoy.inside_hook(&mut stream, |handle| {
            let chunks = handle.body_chunks(BodyType::BufferedRequest);
            assert_eq!(handle.body_len(BodyType::BufferedRequest), 11);
            assert_eq!(chunks.iter().collect::<Vec<_>>().concat(), b"hello world");
            assert_eq!(chunks.total_len(), 11);
        });
    }

    #[test]
    fn a_body_is_replaced_by_draining_and_appending() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.bodies[2] = Some(vec![b"secret".to_vec()]);
        envoy.inside_hook(&mut stream, |mut handle| {
            assert!(handle.drain_body(BodyType::ReceivedResponse, usize::MAX));
            assert!(handle.append_body(BodyType::ReceivedResponse, b"public"));
        });
        assert_eq!(stream.bodies[2].as_ref().unwrap().concat(), b"public");
    }

    #[test]
    fn a_buffer_that_is_not_there_is_empty_and_takes_nothing() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert_eq!(handle.body_len(BodyType::ReceivedRequest), 0);
            assert!(handle.body_chunks(BodyType::ReceivedRequest).is_empty());
            assert!(!handle.drain_body(BodyType::ReceivedRequest, 1));
            assert!(!handle.append_body(BodyType::ReceivedRequest, b"x"));
        });
    }

    #[test]
    fn an_envoy_that_cannot_say_has_two_buffers() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream { is_received_buffered: true, ..FakeStream::default() };
        envoy.inside_hook(&mut stream, |handle| assert!(handle.is_received_buffered(Direction::Request)));
        envoy.remove_callbacks(|table| table.http_received_buffered_request_body = None);
        envoy.inside_hook(&mut stream, |handle| assert!(!handle.is_received_buffered(Direction::Request)));
    }
}
