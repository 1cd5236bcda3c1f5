//! The fields of a protobuf message (protobuf.dev, "Encoding").

use std::fmt;

/// Why bytes are no protobuf message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cluster) struct Malformed(pub(super) &'static str);

/// The octets of the longest number.
const LONGEST_VARINT: usize = 10;
/// What is said of a message that ends too soon.
pub(in crate::cluster) const CUT_OFF: Malformed = Malformed("a field is longer than its message");
/// What is said of a text that is none.
pub(super) const NOT_UTF8: Malformed = Malformed("text that is not UTF-8");

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed protobuf: {}", self.0)
    }
}

/// A message that can be filled field by field.
pub(in crate::cluster) trait Message<'a>: Default {
    /// Takes in one field; those it does not know are left alone.
    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), Malformed>;

    /// Takes in all fields of a message.
    #[inline]
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields(bytes) {
            let (number, value) = field?;
            self.take(number, value)?;
        }
        Ok(())
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        message.fill(bytes)?;
        Ok(message)
    }
}

/// A field's value by its wire type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cluster) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A 32-bit or 64-bit value: no field that is read has one.
    Fixed,
}

/// The fields of a message, in order; ends after the first that is malformed.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        // Nearly all fields are texts or messages whose number and length have an octet each, or a small number.
        if let [tag @ 0..=0x7f, octet @ 0..=0x7f, rest @ ..] = self.0 {
            let number = u32::from(tag >> 3);
            if tag & 7 == 2
                && let Some((octets, rest)) = rest.split_at_checked(usize::from(*octet))
            {
                self.0 = rest;
                return Some(Ok((number, Value::Bytes(octets))));
            }
            if tag & 7 == 0 {
                self.0 = rest;
                return Some(Ok((number, Value::Varint(u64::from(*octet)))));
            }
        }
        self.any()
    }
}

impl<'a> Fields<'a> {
    #[inline(never)]
    fn any(&mut self) -> Option<Result<(u32, Value<'a>), Malformed>> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed("a field number is too large"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.octets(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed("a length is too large"))?;
                Value::Bytes(self.octets(length)?)
            }
            5 => self.octets(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed("unknown wire type")),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (position, octet) in self.0.iter().enumerate().take(LONGEST_VARINT) {
            value |= u64::from(octet & 0x7f) << (7 * position);
            if octet & 0x80 == 0 {
                self.0 = &self.0[position + 1..];
                return Ok(value);
            }
        }
        Err(Malformed("a number does not end"))
    }

    /// `None` if what is there may yet go on.
    fn begun_varint(&mut self) -> Result<Option<u64>, Malformed> {
        match self.varint() {
            Err(_) if self.0.len() < LONGEST_VARINT => Ok(None),
            number => number.map(Some),
        }
    }

    fn octets(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (octets, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(octets)
    }
}

/// The number of the first field, the octets before its content and those of its content, which need not be there yet.
/// `None` if too little is there to tell.
pub(in crate::cluster) fn extent(octets: &[u8]) -> Result<Option<(u32, usize, usize)>, Malformed> {
    let mut fields = Fields(octets);
    let Some(tag) = fields.begun_varint()? else { return Ok(None) };
    let number = u32::try_from(tag >> 3).map_err(|_| Malformed("a field number is too large"))?;
    let content = match tag & 7 {
        1 => 8,
        5 => 4,
        wire_type @ (0 | 2) => match fields.begun_varint()? {
            Some(length) if wire_type == 2 => {
                usize::try_from(length).map_err(|_| Malformed("a length is too large"))?
            }
            Some(_) => 0,
            None => return Ok(None),
        },
        _ => return Err(Malformed("unknown wire type")),
    };
    Ok(Some((number, octets.len() - fields.0.len(), content)))
}

impl<'a> Value<'a> {
    #[inline]
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a number where bytes were expected")),
        }
    }

    #[inline]
    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| NOT_UTF8)
    }

    pub(super) fn owned(self) -> Result<String, Malformed> {
        self.text().map(str::to_owned)
    }

    /// A signed number: protobuf writes negative ones as 64-bit two's complement.
    #[inline]
    pub(super) fn number(self) -> Result<i64, Malformed> {
        match self {
            Value::Varint(number) => Ok(number.cast_signed()),
            _ => Err(Malformed("bytes where a number was expected")),
        }
    }

    pub(super) fn message<T: Message<'a>>(self) -> Result<T, Malformed> {
        T::read(self.bytes()?)
    }
}
