//! The rules of the syntax, from text to directives and messages.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

fn read(text: &str) -> Result<Corefile, Error> {
    parse(Path::new("Corefile"), text, &|name| match name {
        "HOST" => Some("192.0.2.1".to_owned()),
        "TWO" => Some("a b".to_owned()),
        "BRACE" => Some("{".to_owned()),
        _ => None,
    })
}

/// A configuration in one line: `[zones] directive args {options}; …`.
fn shown(text: &str) -> String {
    let corefile = read(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    corefile.blocks.iter().map(show_block).collect::<Vec<_>>().join(" ")
}

fn show_block(block: &ServerBlock) -> String {
    let zone = |address: &Address| match address.port {
        Some(port) => format!("{}:{port}", address.zones.join("+")),
        None => address.zones.join("+"),
    };
    let zones: Vec<_> = block.addresses.iter().map(zone).collect();
    format!("[{}] {}", zones.join(" "), show_directives(&block.directives)).trim_end().to_owned()
}

fn show_directives(directives: &[Directive]) -> String {
    let show = |directive: &Directive| {
        let mut words = vec![directive.name.text.clone()];
        words.extend(directive.args.iter().map(|arg| arg.text.clone()));
        words.extend(directive.block.as_deref().map(|block| format!("{{{}}}", show_directives(block))));
        words.join(" ")
    };
    directives.iter().map(show).collect::<Vec<_>>().join("; ")
}

#[test]
fn blocks_and_directives() {
    let table = [
        ("", ""),
        ("# nothing\n\n", ""),
        (".:53 {\n errors\n cache 30\n}\n", "[.:53] errors; cache 30"),
        (". {\n}\n", "[.]"),
        (". {}\n", "[.]"),
        (".\n{\n whoami\n}", "[.] whoami"),
        ("a b:54, c,\nd {\n whoami\n}", "[a. b.:54 c. d.] whoami"),
        ("a,b ,c , d {\n}", "[a. b. c. d.]"),
        ("a {\n}\nb {\n}", "[a.] [b.]"),
        ("10.0.0.0/15:53 {\n}", "[0.10.in-addr.arpa.+1.10.in-addr.arpa.:53]"),
        (". {\n a\n b x\n a y\n}", "[.] a; b x; a y"),
        (". {\n health {\n  lameduck 5s\n }\n}", "[.] health {lameduck 5s}"),
        (". {\n errors {\n }\n}", "[.] errors {}"),
        (". {\n view v {\n  x {\n   y 1\n  }\n  z\n }\n}", "[.] view v {x {y 1}; z}"),
        (
            ". {\n log . \"{a} {b}\"\n template IN A {\n answer \"{{ .Name }} 60 IN A 1.2.3.4\"\n }\n}",
            "[.] log . {a} {b}; template IN A {answer {{ .Name }} 60 IN A 1.2.3.4}",
        ),
        (". {\n rewrite name regex (.*)\\.a {1}.b\n}", "[.] rewrite name regex (.*)\\.a {1}.b"),
        (". {\n log \"{\" x\n}", "[.] log { x"),
        // Without braces: one server, zones on its first line.
        ("a b\nwhoami\nlog", "[a. b.] whoami; log"),
        ("a,\nb\nerrors {\n stacktrace\n}", "[a. b.] errors {stacktrace}"),
        ("a", "[a.]"),
        ("a {\n}\nb\nlog", "[a.] [b.] log"),
        // Where CoreDNS is stricter and the meaning is plain.
        (". { whoami }", "[.] whoami"),
        (". {\n health { lameduck 5s }\n}", "[.] health {lameduck 5s}"),
        (". {\n health { lameduck 5s } }", "[.] health {lameduck 5s}"),
        (". {\n health\n {\n  lameduck 5s\n }\n}", "[.] health {lameduck 5s}"),
        (". {\n kubernetes {\n  fallthrough }\n}", "[.] kubernetes {fallthrough}"),
        (". {\n errors } b {\n}", "[.] errors [b.]"),
    ];
    for (text, expected) in table {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn environment_in_addresses_names_arguments_and_imports() {
    let text =
        "(192.0.2.1) {\n log\n}\n{$HOST}.:{%PORT%}53 {\n prometheus {$HOST}:9253\n {$TWO} {$BRACE}\n import {$HOST}\n}";
    assert_eq!(shown(text), "[192.0.2.1.:53] prometheus 192.0.2.1:9253; a b {; log");
    let corefile = read("{$NO}. {\n log {$NO} {$OTHER}\n}").unwrap();
    let warnings: Vec<_> = corefile.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "Corefile:1 - the environment variable NO is not set; it is taken as empty",
            "Corefile:2 - the environment variable OTHER is not set; it is taken as empty"
        ]
    );
}

#[test]
fn snippets_are_put_in_wherever_a_line_starts() {
    let table = [
        ("(s) {\n log\n cache 5\n}\n. {\n import s\n errors\n}", "[.] log; cache 5; errors"),
        ("(s) { log }\n. { import s }", "[.] log"),
        ("(s)\n{\n log\n}\n. {\n import s\n}", "[.] log"),
        ("(s) {\n lameduck 5s\n}\n. {\n health {\n  import s\n }\n}", "[.] health {lameduck 5s}"),
        ("(s) {\n errors {\n stacktrace\n }\n}\n. {\n import s\n log\n}", "[.] errors {stacktrace}; log"),
        ("(s) {\n a {\n log\n }\n}\nimport s\nb {\n}", "[a.] log [b.]"),
        ("(s) {\n log\n}\n(t) {\n import s\n cache\n}\n. {\n import t\n}", "[.] log; cache"),
        ("(s) {\n log\n}\n. {\n import s\n import s\n}", "[.] log; log"),
        ("(s) {\n}\n. {\n import s\n log import\n}", "[.] log import"),
        ("(s) {\n log\n}\n.\nimport s\nerrors", "[.] log; errors"),
        ("(a b {\n (s) {\n }\n}", "[(a. b.] (s) {}"),
    ];
    for (text, expected) in table {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_was_expected() {
    let table = [
        ("{\n}", "1 - Syntax error: Unexpected token '{', expecting a zone"),
        ("\n}", "2 - Syntax error: Unexpected token '}', expecting a server block or the end of the file"),
        ("a, {\n}", "1 - Syntax error: Unexpected token '{', expecting another zone after ','"),
        ("a,", "1 - Error during parsing: Unexpected EOF, expecting another zone after ','"),
        (
            "\"\" {\n}",
            "1 - Error during parsing: the server block's zone is empty; expecting a zone, '.' for all names",
        ),
        (
            "{$UNSET}\n{\n}",
            "1 - Error during parsing: the server block's zone is empty; expecting a zone, '.' for all names",
        ),
        (".:53{\n log\n}", "1 - Syntax error: Unexpected token '.:53{', expecting a blank before '{'"),
        (". {\n health{\n }\n}", "2 - Syntax error: Unexpected token 'health{', expecting a blank before '{'"),
        (". {\n log a{\n }\n}", "2 - Syntax error: Unexpected token 'a{', expecting a blank before '{'"),
        (". {\n log\n", "2 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1"),
        (". {\n log {\n}\n", "3 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1"),
        (
            ". {\n log \"a\n}\n",
            "2 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1; \
             the quote that opens at Corefile:2 is never closed",
        ),
        (". {\n {\n }\n}", "2 - Syntax error: Unexpected token '{', expecting a directive"),
        (". {\n a {\n } b\n}", "3 - Syntax error: Unexpected token 'b', expecting the end of the line after '}'"),
        (". {\n a {\n } {\n }\n}", "3 - Syntax error: Unexpected token '{', expecting a directive"),
        (
            ".\nlog\n}",
            "3 - Syntax error: Unexpected token '}', expecting a directive, as there is no '{' after the zones at Corefile:1",
        ),
        ("a:x {\n}", "1 - Error during parsing: 'x' in 'a:x' is no port; expecting a number from 0 to 65535"),
        ("(s)", "1 - Error during parsing: no '{' after the snippet's name; expecting (s) {"),
        ("()\n{\n}", "1 - Error during parsing: a snippet has no name; expecting (NAME) {"),
        ("(s) {\n", "1 - Error during parsing: Unexpected EOF, expecting '}' to close the snippet (s)"),
        ("(s) {\n}\n(s) {\n}", "3 - Error during parsing: the snippet (s) is defined at Corefile:1 already"),
        (
            ". {\n import\n}",
            "2 - Error during parsing: an import names nothing; \
             expecting one snippet, file or pattern of files: import WHAT",
        ),
        (
            ". {\n import a b\n}",
            "2 - Error during parsing: 'b' is too much; expecting one snippet, file or pattern of files: import WHAT",
        ),
        (
            ". {\n import {$UNSET}\n}",
            "2 - Error during parsing: the import's argument is empty; \
             expecting one snippet, file or pattern of files: import WHAT",
        ),
        (
            ". {\n import nowhere\n}",
            "2 - Error during parsing: File to import not found: nowhere; there is no file nowhere, \
             and no snippet (nowhere) is defined before this line",
        ),
        (
            "import a*b*c",
            "1 - Error during parsing: the pattern a*b*c is too wide; \
             expecting at most one '*' and one '?', and no '[]'",
        ),
        (
            "import [ab]",
            "1 - Error during parsing: the pattern [ab] is too wide; expecting at most one '*' and one '?', and no '[]'",
        ),
        ("(s) {\n import s\n}\nimport s", "2 - Error during parsing: the import of (s) leads back to itself"),
        (
            "(s) {\n import t\n}\n(t) {\n import s\n}\nimport t",
            "2 - Error during parsing: the import of (t) leads back to itself",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(read(text).expect_err(text).to_string(), format!("Corefile:{expected}"), "{text}");
    }
}

#[test]
fn growth_is_bounded() {
    let nested = format!(". {{\n{}", "a {\n".repeat(100_000));
    assert!(read(&nested).unwrap_err().message.ends_with("braces are nested more than 32 deep"));

    let doubled = (1..40).map(|n| format!("(s{n}) {{\n import s{0}\n import s{0}\n}}\n", n - 1)).collect::<String>();
    let text = format!("(s0) {{\n log\n}}\n{doubled}. {{\n import s39\n}}");
    assert!(read(&text).unwrap_err().message.ends_with("more than 10000 snippets are imported"));

    let chain = (1..100).map(|n| format!("(s{n}) {{\n import s{}\n}}\n", n - 1)).collect::<String>();
    let text = format!("(s0) {{\n log\n}}\n{chain}. {{\n import s99\n}}");
    assert!(read(&text).unwrap_err().message.ends_with("imports lead to imports more than 64 times"));

    let words = "log\n".repeat(1_000);
    let text = format!("(s) {{\n{words}}}\n. {{\n{}}}", "import s\n".repeat(1_001));
    assert!(read(&text).unwrap_err().message.ends_with("more than 1000000 words after imports"));
}

/// A new directory below the system's temporary one, with these files; removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("dunlin-corefile-{}-{number}", std::process::id()));
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Files(root)
    }

    fn load(&self) -> Result<Corefile, Error> {
        load(&self.0.join("Corefile"))
    }

    /// Blocks or error, with the directory's name taken out.
    fn shown(&self) -> String {
        let shown = match self.load() {
            Ok(corefile) => corefile.blocks.iter().map(show_block).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        shown.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_found_beside_the_file_that_imports_them() {
    let files = Files::new(&[
        ("Corefile", "import snippets/all\n. {\n import s\n import custom/*.override\n}\nimport custom/*.server\n"),
        ("snippets/all", "import deeper/one\n(s) {\n log\n import beside\n}"),
        ("snippets/beside", "whoami"),
        ("snippets/deeper/one", "one {\n}\n"),
        ("custom/b.override", "cache 5\n"),
        ("custom/a.override", "health {\n lameduck 5s\n}"),
        ("custom/x.server", "x { log }"),
        ("custom/.hidden/y.server", "y {\n}"),
        ("custom/directory.server/z", "z {\n}"),
    ]);
    assert_eq!(files.shown(), "[one.] [.] log; whoami; health {lameduck 5s}; cache 5 [x.] log");
    let corefile = files.load().unwrap();
    assert_eq!(corefile.warnings, []);
    let place = &corefile.blocks[1].directives[3].name.span;
    assert_eq!((place.file.as_ref(), place.line), (files.0.join("custom/b.override").to_str().unwrap(), 1));
}

#[test]
fn a_missing_file_is_an_error_and_an_empty_pattern_a_warning() {
    let files = Files::new(&[("Corefile", ". {\n log\n import custom/*.override\n}\nimport ?*.server")]);
    assert_eq!(files.shown(), "[.] log");
    let warnings: Vec<_> = files.load().unwrap().warnings.iter().map(|warning| warning.message.clone()).collect();
    let expected = ["custom/*.override", "?*.server"].map(|p| format!("No files matching import glob pattern: {p}"));
    assert_eq!(warnings, expected);

    let files = Files::new(&[("Corefile", "\nimport custom/one"), ("custom/two", "")]);
    assert!(files.shown().starts_with("Corefile:2 - Error during parsing: File to import not found: custom/one"));
    let files = Files::new(&[("Corefile", "\nimport custom"), ("custom/two", "")]);
    assert!(
        files.shown().starts_with("Corefile:2 - Error during parsing: Could not import custom: "),
        "{}",
        files.shown()
    );
}

#[test]
fn a_file_cannot_import_itself() {
    let files = Files::new(&[("Corefile", "import ./Corefile")]);
    assert_eq!(files.shown(), "Corefile:1 - Error during parsing: the import of Corefile leads back to itself");
    let files = Files::new(&[("Corefile", "import a"), ("a", "log\nimport b"), ("b", "import a")]);
    assert_eq!(files.shown(), "b:1 - Error during parsing: the import of a leads back to itself");
    let files = Files::new(&[("Corefile", "import a\nimport a"), ("a", ". {\n}\n")]);
    assert_eq!(files.shown(), "[.] [.]");
}

#[test]
fn errors_in_imported_files_name_them() {
    let files = Files::new(&[("Corefile", ". {\n import a\n}"), ("a", "log\nhealth{\n")]);
    assert_eq!(files.shown(), "a:2 - Syntax error: Unexpected token 'health{', expecting a blank before '{'");
}

#[test]
fn unreadable_files_are_errors_and_odd_bytes_are_not() {
    let files = Files::new(&[("other", "")]);
    let missing = files.load().unwrap_err();
    assert_eq!(missing.span, None);
    assert!(missing.message.starts_with(files.0.join("Corefile").to_str().unwrap()));
    std::fs::write(files.0.join("Corefile"), b"# caf\xe9\n. {\n log\n}").unwrap();
    assert_eq!(files.shown(), "[.] log");
}

#[test]
fn the_digest_sees_words_and_lines_and_nothing_else() {
    let digest = |text| read(text).unwrap().digest;
    let base = digest("# head\n. {\n log a b\n}\n");
    assert_eq!(base.len(), 128);
    assert!(base.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
    assert_eq!(base, digest("# other\r\n.   {   # more\n\tlog  \"a\" b\n  }\n\n# tail"));
    for other in [
        "\n# head\n. {\n log a b\n}\n",
        "# head\n. {\n log a c\n}\n",
        "# head\n. {\n log ab\n}\n",
        "# head\n. {\n log a b }\n",
        "# head\n. {\n log \"a b\"\n}\n",
    ] {
        assert_ne!(base, digest(other), "{other}");
    }
    let named = parse(Path::new("Other"), "# head\n. {\n log a b\n}\n", &|_| None).unwrap();
    assert_ne!(base, named.digest);
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    /// Pieces that meet the grammar's corners far more often than random characters do.
    fn corefile_like() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "{}",
            "\n",
            "\n",
            " ",
            " ",
            ".",
            ":53",
            "a",
            "b.c",
            ",",
            "\"",
            "\\",
            "#",
            "(s)",
            "(t)",
            "import",
            "s",
            "t",
            "{$X}",
            "{%X%}",
            "{$",
            "10.0.0.0/9",
            "tls://",
            "::/1",
            "\r",
            "é",
            "\u{feff}",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    /// Writes blocks with every word in quotes.
    fn printed(corefile: &Corefile) -> String {
        let quoted = |word: &str| format!("\"{}\"", word.replace('"', "\\\""));
        let mut text = String::new();
        for block in &corefile.blocks {
            for address in &block.addresses {
                let port = address.port.map(|port| format!(":{port}")).unwrap_or_default();
                for zone in &address.zones {
                    text += &quoted(&format!("{}://{zone}{port}", address.scheme));
                    text.push(' ');
                }
            }
            text += "{\n";
            print_directives(&block.directives, &quoted, &mut text);
            text += "}\n";
        }
        text
    }

    fn print_directives(directives: &[Directive], quoted: &impl Fn(&str) -> String, text: &mut String) {
        for directive in directives {
            *text += &quoted(&directive.name.text);
            for arg in &directive.args {
                *text += &format!(" {}", quoted(&arg.text));
            }
            if let Some(block) = &directive.block {
                *text += " {\n";
                print_directives(block, quoted, text);
                *text += "}";
            }
            *text += "\n";
        }
    }

    fn has_import(directives: &[Directive]) -> bool {
        directives.iter().any(|found| found.name.text == "import" || has_import(found.options()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn is_read_or_refused(text in any::<String>()) {
            let _ = parse(Path::new("Corefile"), &text, &|_| None);
        }

        #[test]
        fn in_corefile_words_is_read_or_refused_with_a_place(text in corefile_like()) {
            if let Err(error) = parse(Path::new("Corefile"), &text, &|_| Some("v".to_owned())) {
                prop_assert!(error.span.is_some(), "{}", error);
            }
        }

        #[test]
        fn that_is_read_means_the_same_when_printed(text in corefile_like()) {
            // A backslash in front of a quote is not printed as it was read.
            if let Ok(first) = read(&text.replace('\\', "")) {
                // A word that the environment makes `import` is a directive's name; printed, it would import.
                if first.blocks.iter().any(|block| has_import(&block.directives)) {
                    return Ok(());
                }
                let again = read(&printed(&first)).unwrap();
                prop_assert_eq!(printed(&again), printed(&first));
                prop_assert_eq!(again.blocks.len(), first.blocks.len());
            }
        }

        #[test]
        fn values_are_read_or_refused(word in "[-+.:/%\\[\\]0-9a-fhmnsu]{0,12}") {
            let _ = (values::zones(&word), values::duration(&word), values::network(&word));
            let _ = (values::upstream(&word), values::listen_address(&word), values::integer(&word, 0..=9));
        }
    }
}

/// CoreDNS runs these; anything but braces behind them it refuses, and so do we.
#[test]
fn closing_braces_too_many_at_the_end_are_warned_of() {
    for (text, word) in [(". {\n log\n}\n}\n", "}"), (". {\n log\n}\n}}}\n", "}}}"), (". {\n log\n}\n}\n} # end", "}")]
    {
        let corefile = read(text).unwrap();
        assert_eq!(corefile.blocks.len(), 1);
        let warnings: Vec<_> = corefile.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [format!("Corefile:4 - '{word}' closes nothing and is left out")]);
    }
    assert!(read(". {\n log\n}\n}\na.test {\n log\n}\n").is_err());
}
