//! The fields of a protobuf message (protobuf.dev, "Encoding").

use std::fmt;

/// Why bytes are no protobuf message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cluster) struct Malformed(pub(super) &'static str);

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
        // Nearly all fields are texts or messages whose number and length have an octet each.
        if let [tag @ 0..=0x7f, length @ 0..=0x7f, rest @ ..] = self.0
            && tag & 7 == 2
            && let Some((octets, rest)) = rest.split_at_checked(usize::from(*length))
        {
            self.0 = rest;
            return Some(Ok((u32::from(tag >> 3), Value::Bytes(octets))));
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
        for (position, octet) in self.0.iter().enumerate().take(10) {
            value |= u64::from(octet & 0x7f) << (7 * position);
            if octet & 0x80 == 0 {
                self.0 = &self.0[position + 1..];
                return Ok(value);
            }
        }
        Err(Malformed("a number does not end"))
    }

    fn octets(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (octets, rest) = self.0.split_at_checked(length).ok_or(Malformed("a field is longer than its message"))?;
        self.0 = rest;
        Ok(octets)
    }
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
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text that is not UTF-8"))
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
