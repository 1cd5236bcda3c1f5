//! Go's `printf`: `%s %d %v %x %X %o %b %c %q %t %U %e %E %f %F %g %G %%`, with the flags `-`, `0`, `#`, `+` and a
//! blank, a width and a precision of up to two digits. What does not fit is said in the text, as Go does it.

use super::floats;
use super::value::Value;

/// The most columns and characters that a format asks for.
const MOST: usize = 99;

/// What stands between `%` and the verb.
#[derive(Default)]
struct Format {
    left: bool,
    zeros: bool,
    prefixed: bool,
    signed: bool,
    spaced: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let (mut text, mut values, mut rest) = (String::new(), values.iter(), format);
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let (format, behind) = Format::read(&rest[at + 1..]);
        let mut characters = behind.chars();
        let verb = characters.next();
        rest = characters.as_str();
        match (verb, verb.filter(|verb| *verb != '%').and_then(|_| values.next())) {
            (None, _) => text.push_str("%!(NOVERB)"),
            (Some('%'), _) => text.push('%'),
            (Some(verb), None) => text.push_str(&format!("%!{verb}(MISSING)")),
            (Some(verb), Some(value)) => text.push_str(&format.show(verb, value)),
        }
    }
    text.push_str(rest);
    let extra: Vec<_> = values.map(|value| format!("{}={value}", kind(value))).collect();
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

impl Format {
    fn read(mut rest: &str) -> (Format, &str) {
        let mut format = Format::default();
        loop {
            match rest.as_bytes().first() {
                Some(b'-') => format.left = true,
                Some(b'0') => format.zeros = true,
                Some(b'#') => format.prefixed = true,
                Some(b'+') => format.signed = true,
                Some(b' ') => format.spaced = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let number = |rest: &mut &str| {
            let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
            let number = rest[..digits].parse().unwrap_or(0).min(MOST);
            *rest = &rest[digits..];
            number
        };
        format.width = number(&mut rest);
        if let Some(behind) = rest.strip_prefix('.') {
            rest = behind;
            format.precision = Some(number(&mut rest));
        }
        (format, rest)
    }

    fn show(&self, verb: char, value: &Value) -> String {
        let whole = |number: &i64, prefix: &str, digits: String| {
            let sign = if *number < 0 { "-" } else { "" };
            let prefix = if self.prefixed { prefix } else { "" };
            self.with_sign(format!("{sign}{prefix}{digits:0>0$}", self.precision.unwrap_or(0)))
        };
        let shown = match (verb, value) {
            ('v' | 'd', Value::Number(number)) => whole(number, "", number.unsigned_abs().to_string()),
            ('v' | 'g', Value::Float(number)) => self.with_sign(floats::general(*number, self.precision)),
            ('G', Value::Float(number)) => self.with_sign(floats::general(*number, self.precision).to_uppercase()),
            ('e', Value::Float(number)) => self.with_sign(floats::scientific(*number, self.precision)),
            ('E', Value::Float(number)) => self.with_sign(floats::scientific(*number, self.precision).to_uppercase()),
            ('f' | 'F', Value::Float(number)) => self.with_sign(floats::plain(*number, self.precision)),
            ('v', value) => value.to_string(),
            ('s', Value::Text(text)) => text.chars().take(self.precision.unwrap_or(usize::MAX)).collect(),
            ('s', value @ (Value::List(_) | Value::Map(_))) => value.to_string(),
            ('q', Value::Text(text)) => format!("{text:?}"),
            ('x', Value::Text(text)) => text.bytes().map(|octet| format!("{octet:02x}")).collect(),
            ('X', Value::Text(text)) => text.bytes().map(|octet| format!("{octet:02X}")).collect(),
            ('x', Value::Number(number)) => whole(number, "0x", format!("{:x}", number.unsigned_abs())),
            ('X', Value::Number(number)) => whole(number, "0X", format!("{:X}", number.unsigned_abs())),
            ('o', Value::Number(number)) => whole(number, "0", format!("{:o}", number.unsigned_abs())),
            ('b', Value::Number(number)) => whole(number, "0b", format!("{:b}", number.unsigned_abs())),
            ('c', Value::Number(number)) => {
                let character = u32::try_from(*number).ok().and_then(char::from_u32);
                character.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
            }
            ('U', Value::Number(number)) => format!("U+{number:04X}"),
            ('t', Value::Truth(truth)) => truth.to_string(),
            (verb, value) => return format!("%!{verb}({}={value})", kind(value)),
        };
        let missing = self.width.saturating_sub(shown.chars().count());
        match (self.left, self.zeros) {
            (true, _) => shown + &" ".repeat(missing),
            (false, true) => {
                // Zeros of a number stand behind its sign.
                let is_number = matches!(value, Value::Number(_) | Value::Float(_));
                let sign = usize::from(is_number && shown.starts_with(['+', '-', ' ']));
                format!("{}{}{}", &shown[..sign], "0".repeat(missing), &shown[sign..])
            }
            (false, false) => " ".repeat(missing) + &shown,
        }
    }

    /// A number with the sign that a flag asks for.
    fn with_sign(&self, number: String) -> String {
        match (self.signed, self.spaced) {
            _ if number.starts_with(['-', '+']) => number,
            (true, _) => format!("+{number}"),
            (false, true) => format!(" {number}"),
            (false, false) => number,
        }
    }
}

/// Go's name of a value's type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nothing => "<nil>",
        // No function takes it.
        Value::Data => "*template.templateData",
        Value::Text(_) => "string",
        Value::Number(_) => "int",
        Value::Float(_) => "float64",
        Value::Truth(_) => "bool",
        Value::List(_) => "[]string",
        Value::Map(_) => "map[string]string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_takes_values_as_go_does() {
        let text = |text: &str| Value::Text(text.into());
        for (format, values, expected) in [
            ("%d-%s-%v%%", vec![Value::Number(7), text("a"), Value::Truth(true)], "7-a-true%"),
            ("%5d|%-5d|%05d|%+d", vec![Value::Number(42); 4], "   42|42   |00042|+42"),
            ("%x %X %#x %o %b %c %U", vec![Value::Number(65); 7], "41 41 0x41 101 1000001 A U+0041"),
            ("%10s|%-6s|%.2s|%q|%x", vec![text("right"); 5], "     right|right |ri|\"right\"|7269676874"),
            ("%t", vec![Value::Truth(false)], "false"),
            (
                "%05d|%06.2f|% d|%+.1f",
                vec![Value::Number(-42), Value::Float(-1.5), Value::Number(7), Value::Float(0.25)],
                "-0042|-01.50| 7|+0.2",
            ),
            (
                "%v %g %.3g %e %G %8.3f|%-6.1f|",
                vec![Value::Float(1_234.5); 7],
                "1234.5 1234.5 1.23e+03 1.234500e+03 1234.5 1234.500|1234.5|",
            ),
            ("%d %s", vec![Value::Float(1.5), Value::Float(2.0)], "%!d(float64=1.5) %!s(float64=2)"),
            ("%f", vec![Value::Number(1)], "%!f(int=1)"),
            ("%d", vec![text("text")], "%!d(string=text)"),
            ("%s %s", vec![text("one")], "one %!s(MISSING)"),
            ("one", vec![text("two"), Value::Number(3)], "one%!(EXTRA string=two, int=3)"),
            ("%", vec![], "%!(NOVERB)"),
            ("%999999999d", vec![Value::Number(1)], &format!("{:>99}", 1)),
        ] {
            assert_eq!(printf(format, &values), expected, "{format}");
        }
    }
}
