//! One stream: one query and its answer (RFC 9250 section 4.2).

use super::{Acceptor, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR};
use crate::engine::{Arrival, Limits, Sent, single};
use crate::wire::{HEADER, NameBuffer, Query, read_options};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::time::timeout;

/// Octets of the longest message and its length.
const MOST: usize = 2 + u16::MAX as usize;
/// The option that QUIC has a better way for (RFC 9250 section 5.5.2).
const TCP_KEEPALIVE: u16 = 11;

/// Answers the query of a stream.
pub(super) async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    connection: &Connection,
    arrival: Arrival,
    acceptor: &Acceptor,
    limits: Limits,
) {
    let code = match timeout(limits.read, receive.read_to_end(MOST)).await {
        Ok(Ok(octets)) => match message(&octets) {
            Some(message) => reply(&mut send, message.to_vec(), arrival, acceptor, limits).await,
            None => PROTOCOL_ERROR,
        },
        Ok(Err(quinn::ReadToEndError::TooLong)) => PROTOCOL_ERROR,
        // The client has taken it back, or is too slow.
        Ok(Err(_)) | Err(_) => return drop(send.reset(VarInt::from_u32(INTERNAL_ERROR))),
    };
    let status = match code {
        NO_ERROR => "0x0",
        INTERNAL_ERROR => "0x1",
        _ => "0x2",
    };
    acceptor.responses.with_label_values(&[&*acceptor.server, status]).inc();
    match code {
        // A connection that closes must not be quicker than what is on its way.
        NO_ERROR => drop(timeout(limits.write, send.stopped()).await),
        PROTOCOL_ERROR => connection.close(VarInt::from_u32(PROTOCOL_ERROR), b""),
        _ => drop(send.reset(VarInt::from_u32(INTERNAL_ERROR))),
    }
}

/// The message of a stream: whole, alone, its id 0, and without TCP's options.
fn message(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk()?;
    let is_whole = message.len() == usize::from(u16::from_be_bytes(*length)) && message.len() >= HEADER;
    if !is_whole || message[..2] != [0, 0] {
        return None;
    }
    let mut names = NameBuffer::default();
    let options = Query::parse(message, &mut names).ok().and_then(|query| query.edns).map(|edns| edns.options);
    if let Some((start, octets)) = options {
        let range = usize::from(start)..usize::from(start) + usize::from(octets);
        let options = read_options(message.get(range)?).unwrap_or_default();
        if options.iter().any(|(code, _)| *code == TCP_KEEPALIVE) {
            return None;
        }
    }
    Some(message)
}

/// Answers, with all messages of a transfer (RFC 9250 section 4.2), and says what became of it.
async fn reply(send: &mut SendStream, message: Vec<u8>, arrival: Arrival, acceptor: &Acceptor, limits: Limits) -> u32 {
    let answer = single::answer(&*acceptor.answerer, &acceptor.slow, message, arrival).await;
    // QUIC has no silence.
    let Some(Sent { message, more }) = answer else { return INTERNAL_ERROR };
    let following = more.as_deref().map(AsRef::as_ref).unwrap_or_default();
    for message in std::iter::once(&message).chain(following) {
        let Ok(length) = u16::try_from(message.len()) else { return INTERNAL_ERROR };
        let framed = [&length.to_be_bytes()[..], message].concat();
        if !matches!(timeout(limits.write, send.write_all(&framed)).await, Ok(Ok(()))) {
            return INTERNAL_ERROR;
        }
    }
    if send.finish().is_ok() { NO_ERROR } else { INTERNAL_ERROR }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_stream_has_one_message_with_the_id_zero() {
        let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
        let query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        assert_eq!(message(&framed(&query)), Some(&query[..]));
        assert_eq!(message(&[&framed(&query)[..], b"x"].concat()), None, "something behind it");
        assert_eq!(message(&framed(&query)[..10]), None, "cut");
        assert_eq!((message(&framed(b"\0\0")), message(b"")), (None, None), "too short");
        let mut other = query.clone();
        other[1] = 1;
        assert_eq!(message(&framed(&other)), None, "an id");
        let mut keepalive = query;
        keepalive[11] = 1;
        keepalive.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0b\0\0");
        assert_eq!(message(&framed(&keepalive)), None);
    }
}
