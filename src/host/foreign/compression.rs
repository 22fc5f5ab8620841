//! `compress` and `uncompress`: streams of zlib (RFC 1950).
//!
//! What comes out of a stream is bounded by the memory that the plugin may have itself: more could not be handed to it,
//! and a few bytes may stand for a thousand times as many.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::{Answer, Scene};
use crate::host::stream::Stream;
use crate::host::types::Status;

/// Bytes to a zlib stream, at zlib's default level.
pub(super) fn compress<S: Stream>(_: Scene<'_, S>, bytes: &[u8]) -> Answer {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|_error| Status::SerializationFailure)
}

/// A zlib stream to its bytes. What follows the stream is not looked at, as in the built-in host.
pub(super) fn uncompress<S: Stream>(scene: Scene<'_, S>, bytes: &[u8]) -> Answer {
    inflate(bytes, scene.state.settings.limits.memory_bytes).ok_or(Status::SerializationFailure)
}

fn inflate(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut decoder = ZlibDecoder::new(bytes).take(most.saturating_add(1));
    let mut inflated = Vec::new();
    decoder.read_to_end(&mut inflated).ok()?;
    (inflated.len() <= limit && decoder.into_inner().total_in() > 0).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_stream_gives_its_bytes_back_up_to_the_limit() {
        let stream = deflate(&[b'a'; 100_000]);
        assert!(stream.len() < 1000);
        assert_eq!(inflate(&stream, 100_000).unwrap(), [b'a'; 100_000]);
        assert_eq!(inflate(&stream, 99_999), None);
    }

    #[test]
    fn what_is_cut_short_or_changed_or_empty_is_refused() {
        let stream = deflate(b"some text that is compressed");
        for length in 0..stream.len() {
            assert_eq!(inflate(&stream[..length], 1000), None, "{length}");
        }
        let mut changed = stream.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(inflate(&changed, 1000), None);
        let followed = [stream.as_slice(), b"more"].concat();
        assert_eq!(inflate(&followed, 1000).unwrap(), b"some text that is compressed");
    }
}
