//! A response's body: whole up to a limit, or cut into the frames of a watch.

use super::super::decode::Format;
use super::connection::sentence;
use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use std::time::Duration;
use tokio::time::timeout;

/// The longest frame of a watch, in octets. etcd holds objects of 1.5 MB.
const LONGEST_FRAME: usize = 32 << 20;

/// How a response is encoded.
pub(super) fn format_of(headers: &HeaderMap) -> Format {
    let content_type = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    if content_type.starts_with(b"application/vnd.kubernetes.protobuf") { Format::Protobuf } else { Format::Json }
}

/// The frames of a watch: lines of JSON, or protobuf behind a length of four octets, the highest first.
pub(super) struct Frames {
    pub(super) format: Format,
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

impl Frames {
    pub(super) fn new(response: Response<Body>) -> Frames {
        let format = format_of(response.headers());
        Frames { format, body: response.into_body(), buffer: BytesMut::new(), searched: 0 }
    }

    /// The next frame; `None` at the end of the stream. What is left of a frame that was cut off is dropped. Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    /// Why the stream has broken off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            match self.body.frame().await {
                Some(Ok(part)) => self.buffer.extend_from_slice(part.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => return Err(sentence(&error)),
                None => return Ok(None),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, String> {
        let length = match self.format {
            Format::Json => {
                while let Some(end) = self.buffer[self.searched..].iter().position(|octet| *octet == b'\n') {
                    let line = self.buffer.split_to(self.searched + end + 1).freeze();
                    self.searched = 0;
                    if !line.trim_ascii().is_empty() {
                        return Ok(Some(line));
                    }
                }
                self.searched = self.buffer.len();
                self.searched
            }
            Format::Protobuf => match self.buffer.first_chunk() {
                Some(prefix) => u32::from_be_bytes(*prefix) as usize,
                None => return Ok(None),
            },
        };
        if length > LONGEST_FRAME {
            return Err(format!("a watch event of more than {LONGEST_FRAME} octets"));
        }
        if self.format == Format::Json || self.buffer.len() - 4 < length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// What arrives next of a body; `None` at its end.
///
/// # Errors
/// Why it does not come to its end: broken off, or nothing more for the duration `idle`.
pub(super) async fn next_part(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, String> {
    match timeout(idle, body.frame()).await {
        Ok(Some(Ok(part))) => Ok(Some(part.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => Err(sentence(&error)),
        Ok(None) => Ok(None),
        Err(_) => Err(format!("the response stopped for {} s", idle.as_secs())),
    }
}

/// A whole body.
///
/// # Errors
/// As [`next_part`], or that it is longer than `limit` octets.
pub(super) async fn read_whole(body: Body, limit: usize, idle: Duration) -> Result<BytesMut, String> {
    let mut body = body;
    let mut whole = BytesMut::new();
    while let Some(part) = next_part(&mut body, idle).await? {
        whole.extend_from_slice(&part);
        if whole.len() > limit {
            return Err(format!("a response of more than {limit} octets"));
        }
    }
    Ok(whole)
}
