//! A list as it arrives: protobuf is told object by object, and of its text no more is held than the object that has not
//! come to its end. JSON is read when all of it is there.

use super::protobuf::{self, Malformed};
use super::{Details, Format, Kind, PageEnd, Take, json_page};
use bytes::{Buf, BytesMut};

/// The most that is held of a list, in octets; of JSON, that is the page or the whole list of a server that has no pages.
const MOST_HELD: usize = 1 << 30;

/// Reads one page of a list, or all of it.
pub(in crate::cluster) struct ListReader {
    kind: Kind,
    details: Details,
    format: Format,
    buffer: BytesMut,
    place: Place,
    end: PageEnd,
}

/// Where in a protobuf list the buffer begins.
#[derive(Clone, Copy)]
enum Place {
    /// At `k8s\0`.
    Magic,
    /// In `runtime.Unknown`, before the field with the list.
    Envelope,
    /// In the list, of which so many octets are left.
    List(usize),
    /// Behind the list.
    Behind,
}

impl ListReader {
    /// For the body of one answer.
    pub(in crate::cluster) fn new(kind: Kind, details: Details, format: Format) -> ListReader {
        let (buffer, end) = (BytesMut::new(), PageEnd::default());
        ListReader { kind, details, format, buffer, place: Place::Magic, end }
    }

    /// Takes in what has arrived, and tells the objects that are whole.
    ///
    /// # Errors
    /// Why the list as a whole cannot be read, which may show behind some of its objects.
    pub(in crate::cluster) fn push(&mut self, octets: &[u8], take: Take<'_>) -> Result<(), String> {
        self.buffer.extend_from_slice(octets);
        if self.format == Format::Protobuf {
            while self.step(take).map_err(|reason| reason.to_string())? {}
        }
        match self.buffer.len() > MOST_HELD {
            true => Err(format!("a response of more than {MOST_HELD} octets")),
            false => Ok(()),
        }
    }

    /// The answer has ended.
    ///
    /// # Errors
    /// As [`push`](ListReader::push); also, that the end is missing.
    pub(in crate::cluster) fn finish(self, take: Take<'_>) -> Result<PageEnd, String> {
        match (self.format, self.place) {
            (Format::Json, _) => json_page(self.kind, &self.buffer, take),
            (Format::Protobuf, Place::Behind) => Ok(self.end),
            (Format::Protobuf, _) => Err(protobuf::CUT_OFF.to_string()),
        }
    }

    /// Reads one field, or what stands in its place. False if more has to arrive first.
    fn step(&mut self, take: Take<'_>) -> Result<bool, Malformed> {
        let consumed = match self.place {
            Place::Magic => {
                let Some(begin) = self.buffer.first_chunk() else { return Ok(false) };
                protobuf::check_magic(*begin)?;
                self.place = Place::Envelope;
                begin.len()
            }
            Place::Envelope => match protobuf::extent(&self.buffer)? {
                Some((2, header, content)) => {
                    self.place = Place::List(content);
                    header
                }
                Some((_, header, content)) if content <= self.buffer.len() - header => header + content,
                _ => return Ok(false),
            },
            Place::List(0) => {
                self.place = Place::Behind;
                0
            }
            Place::List(left) => {
                let Some((_, header, content)) = protobuf::extent(&self.buffer)? else { return Ok(false) };
                let whole = header.saturating_add(content);
                let left = left.checked_sub(whole).ok_or(protobuf::CUT_OFF)?;
                let Some(field) = self.buffer.get(..whole) else { return Ok(false) };
                protobuf::list_field(self.kind, self.details, field, &mut self.end, take)?;
                self.place = Place::List(left);
                whole
            }
            // The other fields of the envelope say nothing of the list.
            Place::Behind => self.buffer.len(),
        };
        self.buffer.advance(consumed);
        Ok(!self.buffer.is_empty() || matches!(self.place, Place::List(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::protobuf::encode::{bytes, list, service, wrapped};
    use super::*;

    /// What is told of a body that arrives in parts of this size.
    fn told(body: &[u8], part: usize) -> (Vec<State>, Result<PageEnd, String>) {
        let mut states = Vec::new();
        let mut take = |object: Result<State, String>| states.push(object.unwrap());
        let mut reader = ListReader::new(Kind::Service, Details::ALL, Format::Protobuf);
        let end = body.chunks(part).try_for_each(|part| reader.push(part, &mut take));
        let end = end.and_then(|()| reader.finish(&mut take));
        (states, end)
    }

    #[test]
    fn parts_of_any_size_are_read_alike() {
        let items: Vec<_> = (0..9).map(|at| service(&format!("s-{at}"), "1", "10.0.0.1")).collect();
        let body = list("12", "more", &items);
        let whole = told(&body, body.len());
        assert_eq!((whole.0.len(), whole.1.as_ref().unwrap().next.as_str()), (9, "more"));
        for part in 1..body.len() {
            assert_eq!(told(&body, part), whole, "{part}");
        }
        let none = told(&list("12", "", &[]), 3);
        assert_eq!(none, (Vec::new(), Ok(PageEnd { version: "12".into(), next: String::new() })));
        assert_eq!(told(&wrapped(""), 1), (Vec::new(), Ok(PageEnd::default())));
    }

    #[test]
    fn objects_are_told_before_the_end_has_come() {
        let body = list("12", "", &[service("a", "1", "10.0.0.1"), service("b", "2", "10.0.0.2")]);
        let (states, end) = told(&body[..body.len() - 12], 7);
        assert_eq!((states.len(), end), (1, Err(protobuf::CUT_OFF.to_string())));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let too_long = [b"k8s\0".to_vec(), bytes(2, [0x12, 0x7f])].concat();
        for (body, said) in
            [(b"{\"items\"".to_vec(), "k8s"), (too_long, "longer than its message"), (Vec::new(), "longer")]
        {
            for part in [1, 100] {
                let (states, end) = told(&body, part);
                assert!(states.is_empty() && end.as_ref().is_err_and(|reason| reason.contains(said)), "{end:?}");
            }
        }
    }
}
