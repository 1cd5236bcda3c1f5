//! `completions SHELL`: what a shell offers behind `dunlin`, from the tables that the command line is read by.

use super::{Said, usage};
use crate::cli::{COMMANDS, FLAGS};
use std::fmt::Write;

pub(super) fn run(words: &[String]) -> Said {
    let output = match words {
        [shell] if shell == "bash" => bash(),
        [shell] if shell == "zsh" => zsh(),
        [shell] if shell == "fish" => fish(),
        _ => return usage("completions", "one shell is named: bash, zsh or fish"),
    };
    Said { output, ..Said::default() }
}

/// What may stand behind a command, read from the text that its usage shows.
struct Behind {
    /// Words with two dashes.
    options: Vec<&'static str>,
    /// Words in small letters: one of them is chosen.
    choices: Vec<&'static str>,
}

fn behind(arguments: &'static str) -> Behind {
    let words = || arguments.split([' ', '|']).map(|word| word.trim_matches(['[', ']']));
    let is_choice = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    Behind {
        options: words().filter(|word| word.starts_with("--")).collect(),
        choices: words().filter(is_choice).collect(),
    }
}

/// The first line of a help, as a shell shows it.
fn short(help: &str) -> &str {
    help.lines().next().unwrap_or_default()
}

fn is_file(value: Option<&str>) -> bool {
    value == Some("FILE")
}

fn bash() -> String {
    let names = |dash: &str| FLAGS.iter().map(|flag| format!("{dash}{}", flag.name)).collect::<Vec<_>>().join(" ");
    let commands: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
    let with = |file| {
        let flags = FLAGS.iter().filter(move |flag| flag.value().is_some() && is_file(flag.value()) == file);
        flags.map(|flag| format!("-{0}|--{0}", flag.name)).collect::<Vec<_>>().join("|")
    };
    let mut script = format!(
        "# dunlin completions bash\n_dunlin() {{\n  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n  \
         COMPREPLY=()\n  case $before in\n  {}) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n  {}) return ;;\n  esac\n  \
         case ${{COMP_WORDS[1]}} in\n",
        with(true),
        with(false)
    );
    for command in COMMANDS {
        let Behind { options, choices } = behind(command.arguments);
        let files = if command.arguments.contains("FILE") { "compgen -f -- \"$word\"; " } else { "" };
        let words = [choices, options].concat().join(" ");
        let _ = writeln!(
            script,
            "  {}) [ \"$COMP_CWORD\" = 1 ] || {{ mapfile -t COMPREPLY < <({files}compgen -W '{words}' -- \"$word\"); return; }} ;;",
            command.name
        );
    }
    let _ = writeln!(
        script,
        "  esac\n  case $word in\n  --*) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\") ;;\n  \
         -*) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\") ;;\n  \
         *) [ \"$COMP_CWORD\" != 1 ] || mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\") ;;\n  esac\n}}\n\
         complete -o filenames -F _dunlin dunlin",
        names("--"),
        names("-"),
        commands.join(" ")
    );
    script
}

fn zsh() -> String {
    let quoted = |text: &str| text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let mut script =
        "#compdef dunlin\n# dunlin completions zsh\n_dunlin() {\n  local -a commands\n  commands=(\n".to_owned();
    for command in COMMANDS {
        let _ = writeln!(script, "    '{}:{}'", command.name, quoted(short(command.help)));
    }
    script += "  )\n  if (( CURRENT > 2 )); then\n    case $words[2] in\n";
    for command in COMMANDS {
        let Behind { options, choices } = behind(command.arguments);
        let files = if command.arguments.contains("FILE") { "_files; " } else { "" };
        let words = [choices, options].concat().join(" ");
        let _ = writeln!(script, "    {}) {files}compadd -- {words}; return ;;", command.name);
    }
    script += "    esac\n  else\n    _describe command commands\n  fi\n  _arguments";
    for flag in FLAGS {
        let action = match flag.value() {
            None => String::new(),
            value if is_file(value) => ":file:_files".to_owned(),
            Some(value) => format!(":{}: ", value.to_lowercase()),
        };
        let _ = write!(script, " \\\n    '-{}[{}]{action}'", flag.name, quoted(short(flag.help)));
    }
    script += "\n}\nif [ \"$funcstack[1]\" = _dunlin ]; then _dunlin \"$@\"; else compdef _dunlin dunlin; fi\n";
    script
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut script = "# dunlin completions fish\ncomplete -c dunlin -f\n".to_owned();
    for flag in FLAGS {
        let value = match flag.value() {
            None => "",
            value if is_file(value) => " -r -F",
            Some(_) => " -x",
        };
        let _ = writeln!(script, "complete -c dunlin -o {}{value} -d '{}'", flag.name, quoted(short(flag.help)));
    }
    for command in COMMANDS {
        let Behind { options, choices } = behind(command.arguments);
        let seen = format!("-n '__fish_seen_subcommand_from {}'", command.name);
        let _ = writeln!(
            script,
            "complete -c dunlin -n __fish_is_first_token -a {} -d '{}'",
            command.name,
            quoted(short(command.help))
        );
        if command.arguments.contains("FILE") {
            let _ = writeln!(script, "complete -c dunlin {seen} -F");
        }
        if !choices.is_empty() {
            let _ = writeln!(script, "complete -c dunlin {seen} -a '{}'", choices.join(" "));
        }
        for option in options {
            let _ = writeln!(script, "complete -c dunlin {seen} -l {}", option.trim_start_matches('-'));
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_flag_and_command() {
        for shell in behind("bash|zsh|fish").choices {
            let said = run(&[shell.to_owned()]);
            assert_eq!(said.code, 0);
            for name in FLAGS.iter().map(|flag| flag.name).chain(COMMANDS.iter().map(|command| command.name)) {
                assert!(said.output.contains(name), "{shell}: {name}");
            }
        }
        assert_eq!(run(&["tcsh".to_owned()]).code, 2);
    }

    #[test]
    fn what_stands_behind_a_command_is_read_from_its_usage() {
        let Behind { options, choices } = behind("A B --names FILE|--cluster [--tcp|--tls] on|off");
        assert_eq!((options, choices), (vec!["--names", "--cluster", "--tcp", "--tls"], vec!["on", "off"]));
    }
}
