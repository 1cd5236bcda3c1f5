//! Flags in, exit code out.
//!
//! The flags are CoreDNS's, in Go's style: one dash or two, `-x=y` or `-x y`, the first word that is no flag ends
//! them. [`FLAGS`] is the whole command line: a flag is one entry there, with its help and what it does.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The port of DNS (RFC 1035 section 4.2).
pub const DNS_PORT: u16 = 53;

/// Columns of the help that words fill, the space in front of them not counted.
const FOLD: usize = 84;

/// One flag.
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it is good for, in lines of the help.
    pub help: &'static str,
    takes: Takes,
}

impl Flag {
    /// The name of its value in the help; none for a flag that is on or off.
    pub fn value(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Nothing(_) => None,
            Takes::Value(name, _) => Some(name),
        }
    }
}

enum Takes {
    /// Nothing, or `=true` and `=false`.
    Nothing(fn(&mut Flags, bool)),
    /// A value, with its name in the help.
    Value(&'static str, fn(&mut Flags, &str) -> Result<(), String>),
}

/// Every flag, in the order of the help.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "conf",
        help: "The Corefile to load; 'stdin' reads it from standard input.\n\
               Without this flag it is ./Corefile, or the built-in sample where there is none.",
        takes: Takes::Value("FILE", |flags, value| {
            flags.config = match value {
                "" => Config::Default,
                "stdin" => Config::Stdin,
                path => Config::File(path.into()),
            };
            Ok(())
        }),
    },
    Flag {
        name: "dns.port",
        help: "The port of server blocks that name none (default 53).",
        takes: Takes::Value("PORT", set_port),
    },
    Flag {
        name: "last-good",
        help: "The file to keep the configuration in that last ran. A start that finds the Corefile\n\
               broken runs that one, and says so; not in CoreDNS.",
        takes: Takes::Value("FILE", |flags, value| {
            flags.last_good = Some(value).filter(|path| !path.is_empty()).map(PathBuf::from);
            Ok(())
        }),
    },
    Flag {
        name: "log-format",
        help: "The form of log lines: 'text', CoreDNS's (default), or 'json', an object a line; not in CoreDNS.",
        takes: Takes::Value("FORMAT", |flags, value| {
            flags.log_format = match value {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("expecting text or json".to_owned()),
            };
            Ok(())
        }),
    },
    Flag { name: "p", help: "The same as -dns.port.", takes: Takes::Value("PORT", set_port) },
    Flag {
        name: "pidfile",
        help: "The file to write the process's number to; it is removed at exit.",
        takes: Takes::Value("FILE", |flags, value| {
            flags.pidfile = Some(value).filter(|path| !path.is_empty()).map(PathBuf::from);
            Ok(())
        }),
    },
    Flag {
        name: "plugins",
        help: "List the plugins of this program and exit.",
        takes: Takes::Nothing(|flags, set| flags.list_plugins = set),
    },
    Flag {
        name: "quiet",
        help: "Print neither zones nor version at the start; log lines remain.",
        takes: Takes::Nothing(|flags, set| flags.quiet = set),
    },
    Flag {
        name: "version",
        help: "Print the version and exit.",
        takes: Takes::Nothing(|flags, set| flags.show_version = set),
    },
];

/// A first word that stands for something else than a server; what it does is in `src/commands/`.
pub struct Command {
    /// The word.
    pub name: &'static str,
    /// What stands behind it.
    pub arguments: &'static str,
    /// What it is good for.
    pub help: &'static str,
}

/// Every such word, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        arguments: "FILE",
        help: "Say all that is wrong with a Corefile, and what CoreDNS or this machine does not know.",
    },
    Command {
        name: "migrate",
        arguments: "FILE",
        help: "Print a Corefile with its old words replaced by modern ones.",
    },
    Command {
        name: "explain",
        arguments: "FILE NAME TYPE [--client IP]",
        help: "Answer one question without serving, and say what made the answer.",
    },
    Command {
        name: "query",
        arguments: "NAME [TYPE] [@SERVER] [--tcp|--tls|--https] [-p PORT] [--search] [--timeout SECONDS] \
                    [--resolv FILE] [--ca FILE] [--server-name NAME]",
        help: "Ask a server, the first of /etc/resolv.conf where none is named; --search tries names as a\n\
               libc does. Exit code: 0 for records, 1 for none, 3 for a failure, 4 for silence.",
    },
    Command {
        name: "compare",
        arguments: "A B --names FILE|--manifests PATH|--cluster [--kubeconfig FILE] [--zone ZONE] [--rate N] \
                    [--exact-ttl]",
        help: "Ask two servers, the one that runs and the dunlin that is to follow it, everything that a\n\
               cluster implies, and say what differs. Exit code: 0 for nothing, 1 for something.",
    },
    Command { name: "man", arguments: "", help: "Print the manual page, for man -l or a man8 folder." },
    Command {
        name: "completions",
        arguments: "bash|zsh|fish",
        help: "Print what completes this command line in a shell.",
    },
];

/// Where the configuration comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Config {
    /// No flag: `./Corefile` where there is one, else the built-in sample.
    #[default]
    Default,
    /// `-conf FILE`: this file, which must be there.
    File(PathBuf),
    /// `-conf stdin`.
    Stdin,
}

/// What the command line asks the server for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// Where the configuration comes from.
    pub config: Config,
    /// The port of `dns://` addresses that name none.
    pub port: u16,
    /// Where to write the process's number.
    pub pidfile: Option<PathBuf>,
    /// Whether to leave out zones and version at the start.
    pub quiet: bool,
    /// Where to keep the configuration that last ran.
    pub last_good: Option<PathBuf>,
    /// The form of log lines.
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// CoreDNS's.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// What to print, and to exit with, in place of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The text, without its last line's end.
    pub text: String,
    /// The exit code: 0 for what was asked for, 1 for words too many, 2 for flags that are wrong.
    pub code: u8,
    /// Where the text goes.
    pub stream: Stream,
}

/// Standard output or standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Stream {
    Output,
    Error,
}

impl Stop {
    /// Prints the text. A reader that has gone away is no failure.
    pub fn print(&self) -> ExitCode {
        let _ = match self.stream {
            Stream::Output => writeln!(std::io::stdout(), "{}", self.text),
            Stream::Error => writeln!(std::io::stderr(), "{}", self.text),
        };
        ExitCode::from(self.code)
    }

    fn asked_for(text: String) -> Stop {
        Stop { text, code: 0, stream: Stream::Output }
    }

    fn wrong_flag(why: impl std::fmt::Display) -> Stop {
        Stop { text: format!("{why}\n{}", usage()), code: 2, stream: Stream::Error }
    }
}

/// Reads the words behind the program's name. `plugins` are the names that `-plugins` lists.
///
/// # Errors
/// A [`Stop`]: what was asked for in place of a server, or what is wrong.
pub fn parse(words: impl IntoIterator<Item = OsString>, plugins: &[&str]) -> Result<Invocation, Stop> {
    let mut flags = Flags { port: DNS_PORT, ..Flags::default() };
    let left_over = flags.read(words.into_iter())?;
    if !left_over.is_empty() {
        let text = format!("extra command line arguments: [{}]", left_over.join(" "));
        return Err(Stop { text, code: 1, stream: Stream::Error });
    }
    if flags.show_version {
        return Err(Stop::asked_for(version()));
    }
    if flags.list_plugins {
        return Err(Stop::asked_for(plugin_list(plugins)));
    }
    let Flags { config, port, pidfile, quiet, last_good, log_format, .. } = flags;
    Ok(Invocation { config, port, pidfile, quiet, last_good, log_format })
}

/// The version banner: name and version, then platform in the words of image registries.
pub fn version() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("dunlin-{}\n{}/{architecture}", env!("CARGO_PKG_VERSION"), std::env::consts::OS)
}

/// The help.
pub fn usage() -> String {
    let mut text = "Usage: dunlin [FLAG]...".to_owned();
    for flag in FLAGS {
        let value = flag.value().map_or(String::new(), |name| format!(" {name}"));
        text += &format!("\n  -{}{value}\n        {}", flag.name, flag.help.replace('\n', "\n        "));
    }
    text += "\n\nIn place of a server:";
    for command in COMMANDS {
        let words = format!("{} {}", command.name, command.arguments);
        let help = command.help.replace('\n', "\n        ");
        text += &format!("\n  {}\n        {help}", folded(&format!("dunlin {}", words.trim_end())));
    }
    text
}

/// A long line of words on several, those behind the first further in.
fn folded(words: &str) -> String {
    let (mut text, mut length) = (String::new(), 0);
    for word in words.split(' ') {
        if length > 0 && length + 1 + word.len() > FOLD {
            text += "\n          ";
            length = 0;
        } else if length > 0 {
            text.push(' ');
        }
        text += word;
        length += word.len() + 1;
    }
    text
}

/// The plugins by name, in CoreDNS's form, which has the server type in front.
fn plugin_list(plugins: &[&str]) -> String {
    let mut names: Vec<_> = plugins.iter().map(|name| format!("dns.{name}")).collect();
    names.sort();
    names.join("\n")
}

/// What the flags have set so far.
#[derive(Default)]
struct Flags {
    config: Config,
    port: u16,
    pidfile: Option<PathBuf>,
    quiet: bool,
    last_good: Option<PathBuf>,
    log_format: LogFormat,
    show_version: bool,
    list_plugins: bool,
}

impl Flags {
    /// Takes the flags from the front and returns the words that are left.
    fn read(&mut self, words: impl Iterator<Item = OsString>) -> Result<Vec<String>, Stop> {
        let mut words = words.map(|word| {
            let odd = |word: OsString| Stop::wrong_flag(format!("argument {word:?} is no UTF-8"));
            word.into_string().map_err(odd)
        });
        while let Some(word) = words.next().transpose()? {
            match flag_of(&word) {
                Some(flag) => self.set(flag, &word, &mut words)?,
                None if word == "--" => return words.collect(),
                None => return std::iter::once(Ok(word)).chain(words).collect(),
            }
        }
        Ok(Vec::new())
    }

    /// Does what one flag says; its value follows `=`, or is the next word.
    fn set(
        &mut self,
        flag: &str,
        word: &str,
        words: &mut impl Iterator<Item = Result<String, Stop>>,
    ) -> Result<(), Stop> {
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
        if name.is_empty() || name.starts_with('-') {
            return Err(Stop::wrong_flag(format!("bad flag syntax: {word}")));
        }
        if matches!(name, "h" | "help") {
            return Err(Stop::asked_for(usage()));
        }
        let Some(known) = FLAGS.iter().find(|known| known.name == name) else {
            return Err(Stop::wrong_flag(format!("flag provided but not defined: -{name}")));
        };
        let invalid = |value: &str, why| Stop::wrong_flag(format!("invalid value \"{value}\" for flag -{name}: {why}"));
        match known.takes {
            Takes::Nothing(set) => {
                let value = value.as_deref().unwrap_or("true");
                let on = boolean(value).ok_or_else(|| invalid(value, "expecting true or false".to_owned()))?;
                set(self, on);
            }
            Takes::Value(_, set) => {
                let missing = || Err(Stop::wrong_flag(format!("flag needs an argument: -{name}")));
                let value = value.map(Ok).or_else(|| words.next()).unwrap_or_else(missing)?;
                set(self, &value).map_err(|why| invalid(&value, why))?;
            }
        }
        Ok(())
    }
}

/// The word without its one or two dashes; `None` for `-`, `--` and words without a dash.
fn flag_of(word: &str) -> Option<&str> {
    let flag = word.strip_prefix('-')?;
    Some(flag.strip_prefix('-').unwrap_or(flag)).filter(|flag| !flag.is_empty())
}

/// Go's words for true and false.
fn boolean(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn set_port(flags: &mut Flags, value: &str) -> Result<(), String> {
    flags.port = value.parse().map_err(|_| "expecting a port from 0 to 65535".to_owned())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Invocation, Stop> {
        parse(words.iter().map(OsString::from), &["whoami", "cache"])
    }

    fn with(change: impl FnOnce(&mut Invocation)) -> Result<Invocation, Stop> {
        let mut invocation = Invocation {
            config: Config::Default,
            port: 53,
            pidfile: None,
            quiet: false,
            last_good: None,
            log_format: LogFormat::Text,
        };
        change(&mut invocation);
        Ok(invocation)
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        assert_eq!(read(&[]), with(|_| {}));
        for form in [&["-conf", "a"][..], &["--conf", "a"], &["-conf=a"], &["--conf=a"], &["-conf=b", "-conf=a"]] {
            assert_eq!(read(form), with(|invocation| invocation.config = Config::File("a".into())), "{form:?}");
        }
        assert_eq!(read(&["-conf", "-quiet"]), with(|invocation| invocation.config = Config::File("-quiet".into())));
        assert_eq!(read(&["-conf=a=b"]), with(|invocation| invocation.config = Config::File("a=b".into())));
        assert_eq!(read(&["-conf", "stdin"]), with(|invocation| invocation.config = Config::Stdin));
        assert_eq!(read(&["-conf="]), with(|_| {}));
        assert_eq!(read(&["-dns.port=1053"]), with(|invocation| invocation.port = 1053));
        assert_eq!(read(&["-p", "1", "-dns.port", "2"]), with(|invocation| invocation.port = 2));
        assert_eq!(read(&["-dns.port", "2", "-p", "1"]), with(|invocation| invocation.port = 1));
        assert_eq!(read(&["-pidfile", "/run/pid"]), with(|invocation| invocation.pidfile = Some("/run/pid".into())));
        assert_eq!(read(&["--log-format=json"]), with(|invocation| invocation.log_format = LogFormat::Json));
        assert_eq!(read(&["-log-format", "text"]), with(|_| {}));
        assert_eq!(read(&["-quiet"]), with(|invocation| invocation.quiet = true));
        assert_eq!(read(&["-quiet=T", "--"]), with(|invocation| invocation.quiet = true));
        assert_eq!(read(&["-quiet", "-quiet=false", "-version=0", "-plugins=F"]), with(|_| {}));
    }

    #[test]
    fn words_that_are_left_over_are_an_error_of_their_own() {
        let table = [
            (&["a", "-quiet"][..], "[a -quiet]"),
            (&["-quiet", "true"], "[true]"),
            (&["-version", "x"], "[x]"),
            (&["--", "-conf", "y"], "[-conf y]"),
            (&["-"], "[-]"),
            (&[""], "[]"),
        ];
        for (words, shown) in table {
            let text = format!("extra command line arguments: {shown}");
            assert_eq!(read(words), Err(Stop { text, code: 1, stream: Stream::Error }), "{words:?}");
        }
    }

    #[test]
    fn wrong_flags_show_the_usage() {
        let table = [
            (&["-x"][..], "flag provided but not defined: -x"),
            (&["-conf.x=1"], "flag provided but not defined: -conf.x"),
            (&["---conf"], "bad flag syntax: ---conf"),
            (&["-=a"], "bad flag syntax: -=a"),
            (&["-conf"], "flag needs an argument: -conf"),
            (&["-quiet=maybe"], "invalid value \"maybe\" for flag -quiet: expecting true or false"),
            (&["-p", "65536"], "invalid value \"65536\" for flag -p: expecting a port from 0 to 65535"),
            (&["-log-format=xml"], "invalid value \"xml\" for flag -log-format: expecting text or json"),
            (&["-dns.port="], "invalid value \"\" for flag -dns.port: expecting a port from 0 to 65535"),
        ];
        for (words, why) in table {
            let text = format!("{why}\n{}", usage());
            assert_eq!(read(words), Err(Stop { text, code: 2, stream: Stream::Error }), "{words:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn words_that_are_no_text_are_refused() {
        use std::os::unix::ffi::OsStringExt;
        let stop = parse([OsString::from_vec(vec![b'-', 0xff])], &[]).unwrap_err();
        assert_eq!((stop.code, stop.text.lines().next()), (2, Some("argument \"-\\xFF\" is no UTF-8")));
    }

    #[test]
    fn what_is_asked_for_goes_to_standard_output() {
        let asked = |words: &[&str]| {
            let stop = read(words).unwrap_err();
            assert_eq!((stop.code, stop.stream), (0, Stream::Output), "{words:?}");
            stop.text
        };
        assert_eq!(asked(&["-plugins"]), "dns.cache\ndns.whoami");
        assert_eq!(asked(&["-version", "-plugins"]), version());
        assert!(version().starts_with(&format!("dunlin-{}\n", env!("CARGO_PKG_VERSION"))));
        assert_eq!(version().lines().count(), 2);
        for words in [["-h"], ["--help"]] {
            assert_eq!(asked(&words), usage());
        }
    }

    #[test]
    fn the_usage_has_every_flag_once() {
        let usage = usage();
        for flag in FLAGS {
            let head = match flag.takes {
                Takes::Nothing(_) => format!("\n  -{}\n        {}", flag.name, &flag.help[..10]),
                Takes::Value(value, _) => format!("\n  -{} {value}\n        {}", flag.name, &flag.help[..10]),
            };
            assert_eq!(usage.matches(&head).count(), 1, "{}", flag.name);
        }
        assert!(usage.lines().all(|line| line.len() <= 100));
    }
}
