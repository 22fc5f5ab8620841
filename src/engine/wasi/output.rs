//! Standard output and standard error: what a guest prints becomes log lines.
//!
//! `printf`, `println!`, `fmt.Println` and a panic's message all arrive at `fd_write` as a table of
//! pieces (*iovecs*), usually one, and one call is one line of the log. A single piece is handed on
//! where it lies in the guest's memory; only several are joined in a buffer.
//!
//! A guest chooses the lengths, so both are bounded here: [`MOST_PIECES`] and [`LONGEST_LINE`]. What is
//! beyond the second is not lost: as POSIX allows, the call writes a part and says how much, and the
//! guest's library calls again with the rest.

use std::borrow::Cow;

use super::WasiHost;
use super::guest::{Answer, Errno, Guest, GuestMemory};

/// The bytes that one call writes at most: far more than a log line wants, and little to hold.
const LONGEST_LINE: usize = 64 * 1024;

/// The pieces that one call may pass. It is what POSIX systems, and the C library of WASI, allow.
const MOST_PIECES: u32 = 1024;

/// The bytes of an entry in the table of pieces: an address and a length.
const PIECE: u32 = 8;

/// Where a guest prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Standard output, file descriptor 1: logged as info.
    Output,
    /// Standard error, file descriptor 2: logged as error.
    Error,
}

impl StandardStream {
    /// The stream with a guest's file descriptor: there are no others, not even standard input.
    pub(super) fn of(fd: u32) -> Result<Self, Errno> {
        match fd {
            1 => Ok(Self::Output),
            2 => Ok(Self::Error),
            _ => Err(Errno::BADF),
        }
    }
}

/// `fd_write`: logs the `count` pieces in the table at `pieces` as one line, and stores at `written` how
/// many bytes that were. No bytes, no line.
pub(super) fn write<T: WasiHost>(
    guest: &mut Guest<'_, T>,
    fd: u32,
    pieces: u32,
    count: u32,
    written: u32,
) -> Answer {
    let stream = StandardStream::of(fd)?;
    if count > MOST_PIECES {
        return Err(Errno::INVAL);
    }
    guest.memory.check(written, 4)?;
    let line = join(&guest.memory, pieces, count)?;
    let length = u32::try_from(line.len()).map_err(|_| Errno::OVERFLOW)?;
    if !line.is_empty() {
        guest.host.write_line(stream, line.strip_suffix(b"\n").unwrap_or(&line));
    }
    guest.memory.write(written, length.to_le_bytes())
}

/// The bytes of all pieces, cut at [`LONGEST_LINE`]. Every piece is checked, those behind the cut too.
fn join<'a>(memory: &'a GuestMemory<'_>, pieces: u32, count: u32) -> Result<Cow<'a, [u8]>, Errno> {
    let table = memory.slice(pieces, count.saturating_mul(PIECE))?;
    let (words, _) = table.as_chunks::<4>();
    let (pieces, _) = words.as_chunks::<2>();
    let mut line = Cow::Borrowed(&[][..]);
    for [address, length] in pieces {
        let address = u32::from_le_bytes(*address);
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            // An empty piece may point anywhere: C libraries pass null for one.
            continue;
        }
        let piece = memory.slice(address, length)?;
        let room = LONGEST_LINE.saturating_sub(line.len());
        let piece = piece.get(..room).unwrap_or(piece);
        if line.is_empty() {
            line = Cow::Borrowed(piece);
        } else if !piece.is_empty() {
            line.to_mut().extend_from_slice(piece);
        }
    }
    Ok(line)
}

/// `fd_fdstat_get`: a descriptor that can be written to, of no known type and without flags.
pub(super) fn status<T: WasiHost>(guest: &mut Guest<'_, T>, fd: u32, status: u32) -> Answer {
    // Two words of type and flags, then the rights of the descriptor, then those it could hand on.
    const RIGHT_TO_WRITE: u8 = 64;
    let mut answer = [0; 24];
    if let Some(rights) = answer.get_mut(8) {
        *rights = RIGHT_TO_WRITE;
    }
    StandardStream::of(fd)?;
    guest.memory.write(status, answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wasi::testing::Host;

    /// Memory with a table of `pieces` at 0, their bytes being wherever the test put them.
    fn memory(size: usize, pieces: &[(u32, u32)]) -> Vec<u8> {
        let mut memory = vec![b'.'; size];
        for (entry, (address, length)) in memory.chunks_exact_mut(8).zip(pieces) {
            entry[..4].copy_from_slice(&address.to_le_bytes());
            entry[4..].copy_from_slice(&length.to_le_bytes());
        }
        memory
    }

    /// Writes `pieces`, and gives the answer, the count of bytes that it stored (at 64) and the host.
    fn written(memory: &mut [u8], fd: u32, count: u32) -> (Answer, u32, Host) {
        let mut host = Host::default();
        memory[64..68].copy_from_slice(&77_u32.to_le_bytes());
        let answer = write(&mut Guest::over(memory, &mut host), fd, 0, count, 64);
        (answer, u32::from_le_bytes(memory[64..68].try_into().unwrap()), host)
    }

    #[test]
    fn pieces_become_one_line_without_its_last_newline() {
        let mut bytes = memory(128, &[(100, 3), (0, 0), (110, 2), (u32::MAX, 0)]);
        bytes[100..103].copy_from_slice(b"a\nb");
        bytes[110..112].copy_from_slice(b"\n\n");
        let (answer, count, host) = written(&mut bytes, 1, 4);
        assert_eq!((answer, count), (Ok(()), 5));
        assert_eq!(host.lines, [(StandardStream::Output, b"a\nb\n".to_vec())]);
    }

    #[test]
    fn standard_error_is_the_other_stream_and_the_rest_are_none() {
        let mut bytes = memory(128, &[(100, 1)]);
        assert_eq!(written(&mut bytes, 2, 1).2.lines, [(StandardStream::Error, b".".to_vec())]);
        for fd in [0, 3, 4, 100, u32::MAX] {
            let (answer, count, host) = written(&mut bytes, fd, 1);
            assert_eq!((answer, count), (Err(Errno::BADF), 77), "{fd}");
            assert!(host.lines.is_empty(), "{fd}");
        }
    }

    #[test]
    fn a_newline_alone_is_an_empty_line_and_nothing_is_no_line() {
        let mut bytes = memory(128, &[(100, 1)]);
        bytes[100] = b'\n';
        assert_eq!(written(&mut bytes, 1, 1).2.lines, [(StandardStream::Output, Vec::new())]);
        let (answer, count, host) = written(&mut bytes, 1, 0);
        assert_eq!((answer, count), (Ok(()), 0));
        assert!(host.lines.is_empty());
    }

    #[test]
    fn a_single_piece_is_not_copied() {
        let mut bytes = memory(128, &[(0, 0), (100, 5)]);
        let mut host = ();
        let memory = Guest::over(&mut bytes, &mut host).memory;
        assert!(matches!(join(&memory, 0, 2), Ok(Cow::Borrowed(b"....."))));
    }

    #[test]
    fn a_long_line_is_written_in_part_and_the_count_says_so() {
        let most = u32::try_from(LONGEST_LINE).unwrap();
        for pieces in [
            vec![(100, most + 1)],
            vec![(100, most), (100, 1)],
            vec![(100, 1), (100, most)],
            vec![(100, most - 1), (100, 1), (100, 9), (100, 9)],
        ] {
            let mut bytes = memory(LONGEST_LINE + 200, &pieces);
            let (answer, count, host) = written(&mut bytes, 1, u32::try_from(pieces.len()).unwrap());
            assert_eq!((answer, count), (Ok(()), most), "{pieces:?}");
            assert_eq!(host.lines.len(), 1, "{pieces:?}");
            assert_eq!(host.lines[0].1.len(), LONGEST_LINE, "{pieces:?}");
        }
    }

    #[test]
    fn bad_pieces_log_nothing() {
        for (pieces, count) in [
            // Outside, wherever it stands.
            (vec![(100, 28), (100, 29)], 2),
            (vec![(u32::MAX, 1)], 1),
            (vec![(100, u32::MAX)], 1),
            (vec![(0x8000_0000, 0x8000_0000)], 1),
            // A table that is longer than memory.
            (vec![], 17),
            (vec![], MOST_PIECES),
        ] {
            let mut bytes = memory(128, &pieces);
            let (answer, stored, host) = written(&mut bytes, 1, count);
            assert_eq!((answer, stored), (Err(Errno::FAULT), 77), "{pieces:?}");
            assert!(host.lines.is_empty(), "{pieces:?}");
        }
    }

    #[test]
    fn a_piece_behind_the_cut_is_checked_too() {
        let mut bytes = memory(LONGEST_LINE + 200, &[(100, 65_536), (u32::MAX, 2)]);
        let (answer, _, host) = written(&mut bytes, 1, 2);
        assert_eq!(answer, Err(Errno::FAULT));
        assert!(host.lines.is_empty());
    }

    #[test]
    fn too_many_pieces_are_refused_before_anything_is_read() {
        let mut bytes = memory(128, &[]);
        for count in [MOST_PIECES + 1, 0x2000_0000, 0x2000_0001, u32::MAX] {
            assert_eq!(written(&mut bytes, 1, count).0, Err(Errno::INVAL), "{count}");
        }
    }

    #[test]
    fn a_count_that_cannot_be_stored_logs_nothing() {
        let mut bytes = memory(128, &[(100, 3)]);
        let mut host = Host::default();
        for address in [125, 128, u32::MAX] {
            let answer = write(&mut Guest::over(&mut bytes, &mut host), 1, 0, 1, address);
            assert_eq!(answer, Err(Errno::FAULT), "{address}");
        }
        assert!(host.lines.is_empty());
    }

    #[test]
    fn the_status_of_a_stream_is_that_it_can_be_written_to() {
        let mut bytes = [0xff; 32];
        let mut host = Host::default();
        assert_eq!(status(&mut Guest::over(&mut bytes, &mut host), 1, 4), Ok(()));
        assert_eq!(bytes[..4], [0xff; 4]);
        assert_eq!(bytes[4..12], [0; 8]);
        assert_eq!(bytes[12..20], 64_u64.to_le_bytes());
        assert_eq!(bytes[20..28], [0; 8]);
        assert_eq!(bytes[28..], [0xff; 4]);
        assert_eq!(status(&mut Guest::over(&mut bytes, &mut host), 0, 4), Err(Errno::BADF));
        assert_eq!(status(&mut Guest::over(&mut bytes, &mut host), 2, 9), Err(Errno::FAULT));
    }
}
