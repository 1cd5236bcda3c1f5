//! Floats as Go's `printf` writes them.

/// `%e`: one digit in front of the point, an exponent of two digits at least.
pub(super) fn scientific(number: f64, precision: Option<usize>) -> String {
    exponent_form(&format!("{number:.*e}", precision.unwrap_or(6)))
}

/// `%f`.
pub(super) fn plain(number: f64, precision: Option<usize>) -> String {
    odd(&format!("{number:.*}", precision.unwrap_or(6)))
}

/// `%g` and `%v`: so many digits, or as many as tell it from others, in whichever form is shorter.
pub(super) fn general(number: f64, precision: Option<usize>) -> String {
    let precision = precision.map(|precision| precision.max(1));
    let rounded = match precision {
        Some(precision) => format!("{number:.*e}", precision - 1),
        None => format!("{number:e}"),
    };
    let Some((digits, exponent)) = rounded.split_once('e') else { return odd(&rounded) };
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let most = match precision.map(|precision| precision as i32) {
        None => 6,
        // A number whose digits all stand in front of the point keeps them there.
        Some(precision) if precision > count && count > exponent => count,
        Some(precision) => precision,
    };
    if (-4..most).contains(&exponent) {
        // The digits that are shown are those that were rounded to.
        let shown: f64 = rounded.parse().unwrap_or(number);
        format!("{shown:.*}", usize::try_from(count - 1 - exponent).unwrap_or(0))
    } else {
        exponent_form(&format!("{digits}e{exponent}"))
    }
}

/// `1.5e7`, or what is no number, as Go has it: `1.5e+07`.
fn exponent_form(text: &str) -> String {
    match text.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((digits, exponent)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        None => odd(text),
    }
}

/// What is no number, or has no end.
fn odd(text: &str) -> String {
    match text {
        "inf" => "+Inf".to_owned(),
        "-inf" => "-Inf".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_go_s() {
        for (number, shortest, three, fixed, exponent) in [
            (1.5, "1.5", "1.5", "1.500000", "1.500000e+00"),
            (0.0, "0", "0", "0.000000", "0.000000e+00"),
            (-2.0, "-2", "-2", "-2.000000", "-2.000000e+00"),
            (100.0, "100", "100", "100.000000", "1.000000e+02"),
            (123_456.75, "123456.75", "1.23e+05", "123456.750000", "1.234568e+05"),
            (1_234_567.0, "1.234567e+06", "1.23e+06", "1234567.000000", "1.234567e+06"),
            (0.000_01, "1e-05", "1e-05", "0.000010", "1.000000e-05"),
            (0.000_123_4, "0.0001234", "0.000123", "0.000123", "1.234000e-04"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
        ] {
            assert_eq!(general(number, None), shortest);
            assert_eq!(general(number, Some(3)), three, "{number} to three digits");
            assert_eq!(plain(number, None), fixed);
            assert_eq!(scientific(number, None), exponent);
        }
        assert_eq!((plain(2.5, Some(0)), plain(1.0 / 3.0, Some(2))), ("2".into(), "0.33".into()));
    }
}
