//! gRPC on the wire: frames, and what a call is addressed to.

use crate::host::wire;

/// Length of a frame's head: a byte of flags and the length of the message.
const HEAD: usize = 5;

/// A message as a frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(message.len().saturating_add(HEAD));
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Frames that arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Messages {
    rest: Vec<u8>,
}

/// Bytes that are no frame: flags that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoFrame;

impl Messages {
    /// Takes a piece; answers the messages that are whole now.
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, NoFrame> {
        self.rest.extend_from_slice(piece);
        let mut messages = Vec::new();
        let mut taken = 0_usize;
        while let Some([flags, a, b, c, d, rest @ ..]) = self.rest.get(taken..) {
            if *flags != 0 {
                return Err(NoFrame);
            }
            let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
            let Some(message) = rest.get(..length) else { break };
            messages.push(message.to_vec());
            taken = taken.saturating_add(HEAD).saturating_add(length);
        }
        self.rest.drain(..taken.min(self.rest.len()));
        Ok(messages)
    }
}

/// Where a gRPC call goes, and what the operator adds to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Name of the cluster.
    pub cluster: Vec<u8>,
    /// The `:authority`; the cluster's name if empty.
    pub authority: Vec<u8>,
    /// Metadata that the service asks for.
    pub metadata: super::Pairs,
    /// It was a message, not the bare name of a cluster.
    pub is_message: bool,
}

/// Why a target cannot be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// A `GrpcService` without an Envoy cluster: Google's client is not in the ABI.
    NoCluster,
    /// Neither a message nor text.
    Unreadable,
}

/// Reads the service argument: a serialised `envoy.config.core.v3.GrpcService`, or the name of a cluster. Bytes that
/// parse as the message are the message, as in the built-in host.
///
/// # Errors
/// There is nothing to call in it.
pub fn target(service: &[u8]) -> Result<Target, NoTarget> {
    if let Some(target) = read_service(service) {
        return if target.cluster.is_empty() { Err(NoTarget::NoCluster) } else { Ok(target) };
    }
    if std::str::from_utf8(service).is_err() {
        return Err(NoTarget::Unreadable);
    }
    Ok(Target { cluster: service.to_vec(), ..Target::default() })
}

/// `GrpcService`: 1 is `envoy_grpc` (1 `cluster_name`, 2 `authority`), 5 is `initial_metadata` (1 key, 2 value).
fn read_service(bytes: &[u8]) -> Option<Target> {
    let mut target = Target { is_message: true, ..Target::default() };
    wire::read(bytes, |number, value| match (number, value.bytes()) {
        (1, Some(envoy)) => wire::read(envoy, |number, value| {
            match (number, value.bytes()) {
                (1, Some(name)) => target.cluster = name.to_vec(),
                (2, Some(authority)) => target.authority = authority.to_vec(),
                _ => {}
            }
            Some(())
        }),
        (5, Some(header)) => {
            let (mut name, mut text) = (Vec::new(), Vec::new());
            wire::read(header, |number, value| {
                match (number, value.bytes()) {
                    (1, Some(bytes)) => name = bytes.to_ascii_lowercase(),
                    (2, Some(bytes)) => text = bytes.to_vec(),
                    _ => {}
                }
                Some(())
            })?;
            target.metadata.push((name, text));
            Some(())
        }
        _ => Some(()),
    })?;
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together_from_any_pieces() {
        let bytes = [frame(b""), frame(b"one"), frame(&[7; 300])].concat();
        for size in [1, 2, 3, 7, 400] {
            let mut messages = Messages::default();
            let all: Vec<Vec<u8>> =
                bytes.chunks(size).flat_map(|piece| messages.add(piece).unwrap()).collect();
            assert_eq!(all, [b"".to_vec(), b"one".to_vec(), vec![7; 300]], "pieces of {size}");
        }
        assert_eq!(Messages::default().add(&[1, 0, 0, 0, 0]), Err(NoFrame));
    }

    #[test]
    fn a_service_is_a_message_or_the_name_of_a_cluster() {
        assert_eq!(target(b"auth").unwrap().cluster, b"auth");
        let message = b"\x0a\x0d\x0a\x04auth\x12\x05a.com\x2a\x08\x0a\x03X-A\x12\x01b";
        let expected = Target {
            cluster: b"auth".to_vec(),
            authority: b"a.com".to_vec(),
            metadata: vec![(b"x-a".to_vec(), b"b".to_vec())],
            is_message: true,
        };
        assert_eq!(target(message), Ok(expected));
        assert_eq!(target(b""), Err(NoTarget::NoCluster));
        assert_eq!(target(b"\x12\x00"), Err(NoTarget::NoCluster));
        assert_eq!(target(&[0xff, 0xfe]), Err(NoTarget::Unreadable));
    }
}
