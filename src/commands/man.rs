//! `man`: the manual page, from the tables that the command line is read by.

use super::{Said, usage};
use crate::cli::{COMMANDS, FLAGS};

pub(super) fn run(words: &[String]) -> Said {
    match words {
        [] => Said { output: page(), ..Said::default() },
        _ => usage("man", "nothing stands behind it"),
    }
}

/// The page in the macros of man(7). There is no date in it: the same program gives the same page.
fn page() -> String {
    let mut page = format!(".TH DUNLIN 8 \"\" \"dunlin {}\" \"System Administration\"\n", env!("CARGO_PKG_VERSION"));
    page +=
        ".SH NAME\ndunlin \\- the DNS server inside a Kubernetes cluster\n.SH SYNOPSIS\n.B dunlin\n.RI [ FLAG ]...\n";
    for command in COMMANDS {
        page += &format!(".br\n.B dunlin {}\n", command.name);
        page += &line(command.arguments);
    }
    page += ".SH DESCRIPTION\nAnswers for Services, endpoints and pods from memory and forwards the rest, by a Corefile, \
             as CoreDNS does:\nthe same directives, flags, ports and metrics.\n.PP\n\
             Flags have one dash or two; a value follows behind = or as the next word.\n.SH FLAGS\n";
    for flag in FLAGS {
        page += &format!(".TP\n.BR \\-{}", text(flag.name));
        page += &flag.value().map_or("\n".to_owned(), |value| format!(" \" \" \\fI{}\\fR\n", text(value)));
        page += &line(flag.help);
    }
    page += ".SH COMMANDS\nIn place of a server:\n";
    for command in COMMANDS {
        page += format!(".TP\n.B {} {}", command.name, text(command.arguments)).trim_end();
        page += &format!("\n{}", line(command.help));
    }
    page += ".SH FILES\n.TP\n.I ./Corefile\nThe configuration where \\-conf names none.\n\
             .SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nEnd, after the lameduck time of the directive health.\n\
             .TP\n.B SIGUSR1\nRead the Corefile again.\n\
             .SH EXIT STATUS\n0 for what was asked for, 1 for a Corefile that cannot run, 2 for flags or words that are wrong.\n";
    page
}

/// Plain text as a line of roff, with its end; none where there is no text.
fn line(plain: &str) -> String {
    if plain.is_empty() { String::new() } else { format!("{}\n", text(plain)) }
}

/// Escapes what roff would read: backslashes, dashes that must stay dashes, dots and quotes at a line's start.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_and_command_has_its_paragraph() {
        let page = page();
        for flag in FLAGS {
            assert!(page.contains(&format!("\n.TP\n.BR \\-{}", text(flag.name))), "{}", flag.name);
        }
        for command in COMMANDS {
            assert_eq!(page.matches(&format!(".TP\n.B {}", command.name)).count(), 1, "{}", command.name);
        }
        assert_eq!(run(&["x".to_owned()]).code, 2);
    }

    #[test]
    fn text_is_not_taken_for_requests() {
        assert_eq!(text("-x a\\b\n.Corefile\n'quoted'"), "\\-x a\\eb\n\\&.Corefile\n\\&'quoted'");
    }
}
