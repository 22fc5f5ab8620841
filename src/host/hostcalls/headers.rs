//! Header maps: `proxy_get_header_map_*`, `proxy_set_header_map_pairs`, `proxy_{add,replace,remove}_header_map_value`.
//!
//! Which map can be touched when is in [`StreamContext::is_readable`] and [`StreamContext::is_writable`]; a map
//! that is not available is a `BAD_ARGUMENT`, except that reading all pairs of it gives an empty list.

use super::{Answer, Call};
use crate::engine::memory;
use crate::host::contexts::StreamContext;
use crate::host::pairs;
use crate::host::stream::{Headers, Stream};
use crate::host::types::{AbiVersion, HeaderMap, MapType, Status};

pub(super) fn get_value<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    name: u32,
    name_length: u32,
    value_at: u32,
    length_at: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    call.read(name, name_length)?;
    call.check_words(&[value_at, length_at])?;
    if let MapType::Reply(map) = map {
        let is_logging = call.with_stream(|_, stream| stream.is_some_and(|stream| stream.is_logging));
        return call.with_reply(|call, reply| {
            let wanted = call.read(name, name_length)?;
            let value = match reply.and_then(|reply| reply.map(map)) {
                Some(pairs) => pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)),
                None if is_logging => None,
                None => return Err(Status::BadArgument.into()),
            };
            match value {
                Some((_, value)) => call.give(value, value_at, length_at),
                None if call.state().abi == AbiVersion::V0_1_0 => call.give(&[], value_at, length_at),
                None => Err(Status::NotFound.into()),
            }
        });
    }
    call.with_stream(|call, stream| {
        // A finished exchange may lack any map, so there it is as if the header were not there.
        let is_logging = stream.as_ref().is_some_and(|stream| stream.is_logging);
        let value = match readable(map, stream) {
            Some((map, stream)) => stream.stream.header(map, call.read(name, name_length)?),
            None if is_logging => None,
            None => return Err(Status::BadArgument.into()),
        };
        match value {
            Some(value) => call.give(value, value_at, length_at),
            // Before 0.2.0 a header that is not there was an empty one.
            None if call.state().abi == AbiVersion::V0_1_0 => call.give(&[], value_at, length_at),
            None => Err(Status::NotFound.into()),
        }
    })
}

pub(super) fn get_pairs<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    value_at: u32,
    length_at: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    call.check_words(&[value_at, length_at])?;
    if let MapType::Reply(map) = map {
        return call.with_reply(|call, reply| {
            let pairs = reply.and_then(|reply| reply.map(map)).unwrap_or_default();
            let headers: Headers<'_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
            give_pairs(call, &headers, value_at, length_at)
        });
    }
    call.with_stream(|call, stream| {
        let headers =
            readable(map, stream).map(|(map, stream)| stream.stream.headers(map)).unwrap_or_default();
        give_pairs(call, &headers, value_at, length_at)
    })
}

fn give_pairs<S: Stream>(
    call: &mut Call<'_, S>,
    headers: &Headers<'_>,
    value_at: u32,
    length_at: u32,
) -> Answer {
    let length =
        pairs::encoded_len(headers.iter().copied()).map_err(|_too_long| Status::InvalidMemoryAccess)?;
    call.give_with(length, value_at, length_at, |target| {
        // The room has just been measured by the same list.
        pairs::encode_into(target, headers.iter().copied()).map_err(|_too_long| Status::InvalidMemoryAccess)
    })
}

pub(super) fn get_size<S: Stream>(call: &mut Call<'_, S>, map: u32, result: u32) -> Answer {
    let map = MapType::try_from(map)?;
    call.check_words(&[result])?;
    call.with_stream(|call, stream| {
        // The built-in host asks for the map as if to write it; so maps of replies have no size.
        let (map, stream) = writable(map, stream)?;
        let bytes = byte_size(&stream.stream.headers(map));
        Ok(call.write_u32(result, bytes)?)
    })
}

/// Envoy's size of a map: names and values, without separators.
fn byte_size(headers: &Headers<'_>) -> u32 {
    let bytes = headers
        .iter()
        .fold(0_usize, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()));
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(super) fn set_pairs<S: Stream>(call: &mut Call<'_, S>, map: u32, address: u32, length: u32) -> Answer {
    let map = MapType::try_from(map)?;
    call.read(address, length)?;
    call.with_stream(|call, stream| {
        let (map, stream) = writable(map, stream)?;
        // Pairs that are no pairs are no bytes, and more than these are none.
        let bytes = call.read(address, length)?.len().min(pairs::LONGEST);
        call.state().keep(bytes)?;
        stream.keep(bytes)?;
        let names: Vec<Vec<u8>> = stream.stream.headers(map).iter().map(|(name, _)| name.to_vec()).collect();
        for name in &names {
            stream.stream.remove_header(map, name);
        }
        for (name, value) in pairs::decode(call.read(address, length)?) {
            stream.stream.add_header(map, name, value);
        }
        modified(map, stream);
        Ok(())
    })
}

pub(super) fn add_value<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    name: u32,
    name_length: u32,
    value: u32,
    length: u32,
) -> Answer {
    change(call, map, (name, name_length), (value, length), S::add_header)
}

pub(super) fn replace_value<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    name: u32,
    name_length: u32,
    value: u32,
    length: u32,
) -> Answer {
    change(call, map, (name, name_length), (value, length), S::set_header)
}

fn change<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    name: (u32, u32),
    value: (u32, u32),
    edit: impl FnOnce(&mut S, HeaderMap, &[u8], &[u8]) -> bool,
) -> Answer {
    let map = MapType::try_from(map)?;
    call.with_stream(|call, stream| {
        let (memory, state) = call.memory_and_state();
        let name = memory::read(memory, name.0, name.1).ok_or(Status::InvalidMemoryAccess)?;
        let value = memory::read(memory, value.0, value.1).ok_or(Status::InvalidMemoryAccess)?;
        let (map, stream) = writable(map, stream)?;
        let bytes = name.len().saturating_add(value.len());
        state.keep(bytes)?;
        stream.keep(bytes)?;
        // What the proxy refuses (a name that is no header name) the built-in host drops in silence.
        edit(&mut stream.stream, map, name, value);
        modified(map, stream);
        Ok(())
    })
}

pub(super) fn remove_value<S: Stream>(
    call: &mut Call<'_, S>,
    map: u32,
    name: u32,
    name_length: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    call.with_stream(|call, stream| {
        let name = call.read(name, name_length)?;
        let (map, stream) = writable(map, stream)?;
        stream.stream.remove_header(map, name);
        modified(map, stream);
        Ok(())
    })
}

fn readable<S: Stream>(
    map: MapType,
    stream: Option<&mut StreamContext<S>>,
) -> Option<(HeaderMap, &StreamContext<S>)> {
    match (map, stream) {
        (MapType::Stream(map), Some(stream)) if stream.is_readable(map) => Some((map, stream)),
        (MapType::Stream(_) | MapType::Reply(_), _) => None,
    }
}

fn writable<S: Stream>(
    map: MapType,
    stream: Option<&mut StreamContext<S>>,
) -> Result<(HeaderMap, &mut StreamContext<S>), Status> {
    match (map, stream) {
        (MapType::Stream(map), Some(stream)) if stream.is_writable(map) => Ok((map, stream)),
        (MapType::Stream(_) | MapType::Reply(_), _) => Err(Status::BadArgument),
    }
}

/// A route may depend on the request's headers: the proxy chooses anew, as for every plugin of these ABIs.
fn modified<S: Stream>(map: HeaderMap, stream: &mut StreamContext<S>) {
    if map == HeaderMap::RequestHeaders {
        stream.stream.clear_route_cache();
    }
}
