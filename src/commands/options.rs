//! The words behind a command: plain ones, and options with one dash or two, `--x=y` or `--x y`.

/// One word, or an option with its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// A word without a dash.
    Plain(&'a str),
    /// An option that takes no value.
    Switch(&'a str),
    /// An option and its value.
    Value(&'a str, &'a str),
}

/// Reads the words of a command that has these `switches` and these options with `values`.
///
/// # Errors
/// The option that is not known, or has no value.
pub(super) fn arguments<'a>(
    words: &'a [String],
    switches: &[&str],
    values: &[&str],
) -> Result<Vec<Argument<'a>>, String> {
    let (mut read, mut words) = (Vec::new(), words.iter().map(String::as_str));
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|_| word.len() > 1) else {
            read.push(Argument::Plain(word));
            continue;
        };
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        if switches.contains(&name) && value.is_none() {
            read.push(Argument::Switch(name));
        } else if values.contains(&name) {
            let value = value.or_else(|| words.next()).filter(|value| !value.is_empty());
            read.push(Argument::Value(name, value.ok_or_else(|| format!("{word} needs a value"))?));
        } else {
            return Err(format!("{word} is not known"));
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_options_are_told_apart() {
        let words: Vec<String> = "a --tcp -p 53 --p=54 - @::1".split(' ').map(str::to_owned).collect();
        let read = arguments(&words, &["tcp"], &["p"]).unwrap();
        use Argument::{Plain, Switch, Value};
        assert_eq!(read, [Plain("a"), Switch("tcp"), Value("p", "53"), Value("p", "54"), Plain("-"), Plain("@::1")]);
        for (words, why) in [("--udp", "--udp is not known"), ("--tcp=1", "--tcp=1 is not known"), ("-p", "-p needs")] {
            let words = [words.to_owned()];
            assert!(arguments(&words, &["tcp"], &["p"]).unwrap_err().starts_with(why));
        }
    }
}
