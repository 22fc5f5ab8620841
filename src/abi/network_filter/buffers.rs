//! The two buffers of a connection: bytes that a hook brings, and those that it holds back.

use std::ffi::c_void;

use super::super::buffer::{Buffers, lend};
use super::super::table::callbacks;
use super::super::types::Direction;
use super::{ConnectionHandle, raw};

type Write = unsafe extern "C" fn(*mut c_void, raw::envoy_dynamic_module_type_module_buffer) -> bool;

impl ConnectionHandle {
    /// How many bytes a direction has; 0 if there is no such buffer now.
    pub fn data_len(&self, direction: Direction) -> usize {
        let size = match direction {
            Direction::Request => callbacks().network_filter_get_read_buffer_size,
            Direction::Response => callbacks().network_filter_get_write_buffer_size,
        };
        let (Some(size), Some(envoy)) = (size, self.envoy()) else { return 0 };
        // SAFETY: F2, F3.
        unsafe { size(envoy) }
    }

    /// The bytes of a direction, in the pieces that Envoy keeps them in.
    pub fn data_chunks(&self, direction: Direction) -> Buffers<'_> {
        let table = callbacks();
        let (size, chunks) = match direction {
            Direction::Request => (
                table.network_filter_get_read_buffer_chunks_size,
                table.network_filter_get_read_buffer_chunks,
            ),
            Direction::Response => (
                table.network_filter_get_write_buffer_chunks_size,
                table.network_filter_get_write_buffer_chunks,
            ),
        };
        let (Some(size), Some(chunks), Some(envoy)) = (size, chunks, self.envoy()) else {
            return Buffers::none();
        };
        // SAFETY: F2, F3.
        let count = unsafe { size(envoy) };
        let fill = |out| {
            // SAFETY: F2, F3, F8: the array has as many entries as Envoy has just said.
            unsafe { chunks(envoy, out) }
        };
        // SAFETY: F7, F8.
        unsafe { Buffers::collect(count, fill) }
    }

    /// Removes bytes from the front. False if there is no such buffer now.
    pub fn drain_data(&mut self, direction: Direction, length: usize) -> bool {
        let drain = match direction {
            Direction::Request => callbacks().network_filter_drain_read_buffer,
            Direction::Response => callbacks().network_filter_drain_write_buffer,
        };
        let (Some(drain), Some(envoy)) = (drain, self.envoy()) else { return false };
        // SAFETY: F2, F3.
        unsafe { drain(envoy, length) }
    }

    /// Puts bytes in front. False if there is no such buffer now.
    pub fn prepend_data(&mut self, direction: Direction, data: &[u8]) -> bool {
        let write = match direction {
            Direction::Request => callbacks().network_filter_prepend_read_buffer,
            Direction::Response => callbacks().network_filter_prepend_write_buffer,
        };
        self.write_data(write, data)
    }

    /// Puts bytes behind. False if there is no such buffer now.
    pub fn append_data(&mut self, direction: Direction, data: &[u8]) -> bool {
        let write = match direction {
            Direction::Request => callbacks().network_filter_append_read_buffer,
            Direction::Response => callbacks().network_filter_append_write_buffer,
        };
        self.write_data(write, data)
    }

    fn write_data(&mut self, write: Option<Write>, data: &[u8]) -> bool {
        let (Some(write), Some(envoy)) = (write, self.envoy()) else { return false };
        // SAFETY: F2, F3, F9.
        unsafe { write(envoy, lend(data)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    #[test]
    fn each_direction_is_read_and_edited_for_itself() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.bodies[0] = Some(vec![b"from ".to_vec(), b"the client".to_vec()]);
        stream.bodies[2] = Some(vec![b"from the server".to_vec()]);
        envoy.inside_hook_of(&mut stream, |mut handle: ConnectionHandle| {
            assert_eq!(handle.data_len(Direction::Request), 15);
            assert_eq!(handle.data_chunks(Direction::Request).iter().collect::<Vec<_>>().len(), 2);
            assert!(handle.drain_data(Direction::Request, 5));
            assert!(handle.prepend_data(Direction::Request, b"by "));
            assert!(handle.append_data(Direction::Response, b"!"));
        });
        assert_eq!(stream.bodies[0].take().unwrap().concat(), b"by the client");
        assert_eq!(stream.bodies[2].take().unwrap().concat(), b"from the server!");
    }

    #[test]
    fn a_handle_kept_after_its_hook_answers_nothing() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.bodies[0] = Some(vec![b"bytes".to_vec()]);
        let mut kept = envoy.inside_hook_of(&mut stream, |handle: ConnectionHandle| handle);
        assert!(kept.is_closed());
        assert_eq!(kept.data_len(Direction::Request), 0);
        assert!(kept.data_chunks(Direction::Request).is_empty());
        assert!(!kept.append_data(Direction::Request, b"more"));
        kept.close(b"late");
        kept.continue_reading();
        assert!(stream.told.is_empty());
    }
}
