//! HTTP/1.1 as the bytes of a socket.

use std::io::{self, Read};

/// A header field: its name as received, and its value without the whitespace around it.
pub(crate) type Field = (String, Vec<u8>);

/// Reads up to and including `end`.
pub(crate) fn read_until(stream: &mut impl Read, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.extend(read_exactly(stream, 1)?);
    }
    Ok(bytes)
}

pub(super) fn read_exactly(stream: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The first line of a head, and its fields.
pub(super) fn parse_head(head: &[u8]) -> io::Result<(String, Vec<Field>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii().to_vec();
        Some((text(&line[..colon]), value))
    };
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii_end);
    let first = text(lines.next().unwrap_or_default());
    let fields = lines.filter(|line| !line.is_empty()).map(field);
    let fields: Option<Vec<Field>> = fields.collect();
    let malformed = || io::Error::other(format!("a malformed head: {}", text(head)));
    Ok((first, fields.ok_or_else(malformed)?))
}

/// Reads a chunked body, and its trailers as fields whose names begin with `trailer `.
pub(super) fn read_chunks(stream: &mut impl Read) -> io::Result<(Vec<u8>, Vec<Field>)> {
    let mut body = Vec::new();
    loop {
        let line = String::from_utf8(read_until(stream, b"\r\n")?).map_err(io::Error::other)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        if size == 0 {
            let trailers = read_until(&mut b"\r\n".chain(stream), b"\r\n\r\n")?;
            let (_, mut trailers) = parse_head(&trailers)?;
            for (name, _) in &mut trailers {
                name.insert_str(0, "trailer ");
            }
            return Ok((body, trailers));
        }
        body.extend(read_exactly(stream, size)?);
        if read_exactly(stream, 2)? != b"\r\n" {
            return Err(io::Error::other("a chunk without its end"));
        }
    }
}
