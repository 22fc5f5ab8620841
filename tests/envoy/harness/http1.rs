//! HTTP/1.1 by hand: messages as bytes.
//!
//! The stories need what client libraries hide: where a chunk begins, trailers in both directions, a
//! connection that breaks in the middle. One small reader and writer serve the client, the upstream and
//! the admin interface.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};

use super::{Headers, header};

/// A start line and its headers.
#[derive(Debug)]
pub struct Head {
    /// The first line, without its end.
    pub start: String,
    /// The headers, names in lower case.
    pub headers: Headers,
}

/// What follows a head.
#[derive(Debug, Default)]
pub struct Body {
    /// The payload, without framing.
    pub bytes: Vec<u8>,
    /// The trailers of a chunked body.
    pub trailers: Headers,
    /// Whether the message ended as its framing says.
    pub complete: bool,
}

/// Whose message is read: only a response may end with its connection, or have no body by its status.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response { to_head: bool },
}

/// Reads a head; `None` if the peer closed before it.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(start) = read_line(reader)? else { return Ok(None) };
    Ok(Some(Head { start, headers: read_fields(reader)? }))
}

/// Reads what follows `head`. A connection that breaks gives what arrived, marked as incomplete.
pub fn read_body(reader: &mut impl BufRead, head: &Head, side: Side) -> Body {
    let mut body = Body::default();
    body.complete = read_body_into(reader, head, side, &mut body).is_ok();
    body
}

fn read_body_into(reader: &mut impl BufRead, head: &Head, side: Side, body: &mut Body) -> io::Result<()> {
    if has_no_body(head, side) {
        return Ok(());
    }
    if header(&head.headers, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        return read_chunks(reader, body);
    }
    match header(&head.headers, "content-length") {
        Some(length) => {
            let length = length.parse::<u64>().map_err(io::Error::other)?;
            read_exactly(reader, length, &mut body.bytes)
        }
        None if side == Side::Request => Ok(()),
        None => reader.read_to_end(&mut body.bytes).map(|_| ()),
    }
}

fn has_no_body(head: &Head, side: Side) -> bool {
    match side {
        Side::Request => false,
        Side::Response { to_head } => to_head || matches!(status(head), 100..200 | 204 | 304),
    }
}

/// The status of a response head; 0 if the line is no status line.
pub fn status(head: &Head) -> u16 {
    head.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Body) -> io::Result<()> {
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            body.trailers = read_fields(reader)?;
            return Ok(());
        }
        read_exactly(reader, size, &mut body.bytes)?;
        read_line(reader)?;
    }
}

fn read_exactly(reader: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let read = reader.take(length).read_to_end(into)?;
    if read as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_fields(reader: &mut impl BufRead) -> io::Result<Headers> {
    let mut fields = Headers::new();
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    while matches!(line.last(), Some(b'\r' | b'\n')) {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// Writes a start line and headers.
pub fn write_head(writer: &mut impl Write, start: &str, headers: &Headers) -> io::Result<usize> {
    let mut text = format!("{start}\r\n");
    for (name, value) in headers {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    writer.write_all(text.as_bytes())?;
    writer.flush()?;
    Ok(text.len())
}

/// Writes one chunk with its framing, as one write.
pub fn write_chunk(writer: &mut impl Write, chunk: &[u8]) -> io::Result<usize> {
    let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
    framed.extend_from_slice(chunk);
    framed.extend_from_slice(b"\r\n");
    writer.write_all(&framed)?;
    writer.flush()?;
    Ok(framed.len())
}

/// Writes the end of a chunked body, with its trailers.
pub fn write_last_chunk(writer: &mut impl Write, trailers: &Headers) -> io::Result<usize> {
    write_head(writer, "0", trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_message_with_trailers_reads_as_it_was_written() {
        let mut wire = Vec::new();
        write_head(&mut wire, "HTTP/1.1 200 OK", &super::super::headers(&[("transfer-encoding", "chunked")]))
            .unwrap();
        write_chunk(&mut wire, b"one").unwrap();
        write_chunk(&mut wire, b"two").unwrap();
        write_last_chunk(&mut wire, &super::super::headers(&[("x-sum", "6")])).unwrap();
        let mut reader = wire.as_slice();
        let head = read_head(&mut reader).unwrap().unwrap();
        assert_eq!(status(&head), 200);
        let body = read_body(&mut reader, &head, Side::Response { to_head: false });
        assert!(body.complete);
        assert_eq!(body.bytes, b"onetwo");
        assert_eq!(header(&body.trailers, "x-sum"), Some("6"));
    }

    #[test]
    fn a_message_that_breaks_off_is_incomplete() {
        let mut reader = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc".as_slice();
        let head = read_head(&mut reader).unwrap().unwrap();
        let body = read_body(&mut reader, &head, Side::Response { to_head: false });
        assert!(!body.complete);
        assert_eq!(body.bytes, b"abc");
    }
}
