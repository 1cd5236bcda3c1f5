//! `migrate FILE`: the Corefile in modern words.
//!
//! It maps what corefile-migration maps, and what our own `proxy` runs as. The text is edited where a word is old;
//! comments, layout, snippets and variables stay as they are. Imported files are files of their own.

use super::{Said, usage};
use crate::corefile::{self, Kind, Lexeme};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

pub(super) fn run(words: &[String]) -> Said {
    let [file] = words else { return usage("migrate", "one Corefile is rewritten") };
    let path = Path::new(file);
    let migrated = corefile::read(path).map_err(|error| error.to_string()).and_then(|text| migrate(path, &text));
    match migrated {
        Ok((output, changes)) => {
            Said { output, error: changes.iter().map(|change| format!("{change}\n")).collect(), code: 0 }
        }
        Err(why) => Said { output: String::new(), error: format!("{why}\n"), code: 1 },
    }
}

/// The new text, and a line for each change.
fn migrate(path: &Path, text: &str) -> Result<(String, Vec<String>), String> {
    let words = corefile::words(path, text);
    let nodes = Nodes { words: &words, at: 0 }.whole().map_err(|why| format!("{}: {why}", path.display()))?;
    let mut editor = Editor { text, edits: Vec::new(), changes: Vec::new() };
    let snippets: HashSet<&str> = nodes.iter().map(Node::name).filter(|name| name.starts_with('(')).collect();
    for node in &nodes {
        // A file to be imported has directives where others have server blocks.
        if node.block.is_none() || matches!(node.name(), "proxy" | "kubernetes") {
            editor.directive(node, &snippets)?;
        }
        for directive in node.options() {
            editor.directive(directive, &snippets)?;
        }
    }
    Ok(editor.done())
}

/// A line of the Corefile: its words, and its block.
struct Node<'w> {
    words: &'w [Lexeme],
    block: Option<Block<'w>>,
}

struct Block<'w> {
    options: Vec<Node<'w>>,
    close: &'w Lexeme,
}

impl Node<'_> {
    fn name(&self) -> &str {
        &self.words[0].token.text
    }

    fn args(&self) -> Vec<&str> {
        self.words[1..].iter().map(|word| word.token.text.as_str()).collect()
    }

    fn options(&self) -> &[Node<'_>] {
        self.block.as_ref().map_or(&[], |block| &block.options)
    }

    /// Where its own words stand.
    fn head(&self) -> Range<usize> {
        self.words[0].range.start..self.words.last().map_or(0, |word| word.range.end)
    }

    /// Where it stands with its block.
    fn range(&self) -> Range<usize> {
        let head = self.head();
        head.start..self.block.as_ref().map_or(head.end, |block| block.close.range.end)
    }
}

/// Words to nodes, by lines and braces alone.
struct Nodes<'w> {
    words: &'w [Lexeme],
    at: usize,
}

impl<'w> Nodes<'w> {
    fn whole(mut self) -> Result<Vec<Node<'w>>, String> {
        let nodes = self.read(0)?;
        match self.words.get(self.at) {
            Some(close) => Err(format!("line {}: a '}}' closes nothing", close.token.span.line)),
            None => Ok(nodes),
        }
    }

    /// The nodes up to a `}` or the end.
    fn read(&mut self, depth: usize) -> Result<Vec<Node<'w>>, String> {
        const MAX_DEPTH: usize = 32;
        let mut nodes = Vec::new();
        while let Some(first) = self.words.get(self.at).filter(|word| word.kind != Kind::Close) {
            if first.kind == Kind::Open || depth > MAX_DEPTH {
                return Err(format!("line {}: a '{{' opens nothing", first.token.span.line));
            }
            let begun = self.at;
            self.at += 1;
            while self.words.get(self.at).is_some_and(|word| word.kind == Kind::Word && !word.starts_line) {
                self.at += 1;
            }
            let words = &self.words[begun..self.at];
            let mut block = None;
            if let Some(open) = self.words.get(self.at).filter(|word| word.kind == Kind::Open) {
                self.at += 1;
                let options = self.read(depth + 1)?;
                let close = self.words.get(self.at);
                let close = close.ok_or_else(|| format!("line {}: a '{{' is not closed", open.token.span.line))?;
                self.at += 1;
                block = Some(Block { options, close });
            }
            nodes.push(Node { words, block });
        }
        Ok(nodes)
    }
}

/// What becomes of an option.
enum Fate {
    Stays,
    Goes(&'static str),
    Becomes(Range<usize>, &'static str, String),
}

struct Editor<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
    changes: Vec<String>,
}

impl Editor<'_> {
    fn directive(&mut self, node: &Node<'_>, snippets: &HashSet<&str>) -> Result<(), String> {
        match node.name() {
            "proxy" => {
                self.edits.push((node.words[0].range.clone(), "forward".to_owned()));
                self.say(node, "'proxy' is now 'forward'");
                let fates = node.options().iter().map(proxy_option).collect::<Result<Vec<_>, _>>()?;
                self.options(node, fates);
            }
            "kubernetes" => {
                let fates = node.options().iter().map(kubernetes_option).collect();
                self.options(node, fates);
                self.transfer(node);
            }
            "template" | "file" | "auto" | "secondary" | "dns64" => {
                let why = "'upstream' is left out: names are resolved by the server itself";
                let fate = |option: &Node<'_>| if option.name() == "upstream" { Fate::Goes(why) } else { Fate::Stays };
                let fates = node.options().iter().map(fate).collect();
                self.options(node, fates);
            }
            "federation" | "startup" | "shutdown" => {
                self.remove(node.range());
                self.say(node, &format!("'{}' is left out: it is no more", node.name()));
            }
            "import" if !node.args().iter().any(|what| snippets.contains(format!("({what})").as_str())) => {
                self.say(node, "what is imported here is not changed: migrate those files too");
            }
            _ => {}
        }
        Ok(())
    }

    /// Edits a block. One that nothing is left of goes with its braces.
    fn options(&mut self, node: &Node<'_>, fates: Vec<Fate>) {
        let Some(block) = &node.block else { return };
        let inside = node.head().end..block.close.range.end;
        let all_go = !fates.is_empty() && fates.iter().all(|fate| matches!(fate, Fate::Goes(_)));
        let whole = all_go && !self.text[inside.clone()].contains('#');
        if whole {
            self.edits.push((inside, String::new()));
        }
        for (option, fate) in block.options.iter().zip(fates) {
            match fate {
                Fate::Stays => {}
                Fate::Goes(why) => {
                    if !whole {
                        self.remove(option.range());
                    }
                    self.say(option, why);
                }
                Fate::Becomes(range, why, text) => {
                    if text.is_empty() {
                        self.remove(range);
                    } else {
                        self.edits.push((range, text));
                    }
                    self.say(option, why);
                }
            }
        }
    }

    /// `transfer` is a plugin of its own since CoreDNS 1.8.
    fn transfer(&mut self, node: &Node<'_>) {
        let old = node.options().iter().filter(|option| option.name() == "transfer");
        let to: Vec<&str> =
            old.flat_map(|option| option.args().into_iter().filter(|word| *word != "to").collect::<Vec<_>>()).collect();
        if to.is_empty() {
            return;
        }
        let line = self.text[..node.head().start].rfind('\n').map_or(0, |at| at + 1);
        let blanks = self.text[line..].find(|c: char| !matches!(c, ' ' | '\t')).unwrap_or(0);
        let indent = &self.text[line..line + blanks];
        let step = if indent.contains('\t') { "\t" } else { "    " };
        let head: Vec<&str> = std::iter::once("transfer").chain(node.args()).collect();
        let added = format!("\n{indent}{} {{\n{indent}{step}to {}\n{indent}}}", head.join(" "), to.join(" "));
        let end = node.range().end;
        let rest = &self.text[end..end + self.text[end..].find('\n').unwrap_or(self.text.len() - end)];
        let at = if rest.trim_start().starts_with('#') { end + rest.trim_end().len() } else { end };
        self.edits.push((at..at, added));
    }

    /// Takes words out: with their line, if nothing else stands on it; a comment beside them stays.
    fn remove(&mut self, range: Range<usize>) {
        let begin = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[range.end..].find('\n').map_or(self.text.len(), |at| range.end + at + 1);
        let (before, behind) = (&self.text[begin..range.start], &self.text[range.end..end]);
        let range = if !before.trim().is_empty() {
            range.start - (before.len() - before.trim_end().len())..range.end
        } else if behind.trim().is_empty() {
            begin..end
        } else {
            range.start..range.end + (behind.len() - behind.trim_start().len())
        };
        self.edits.push((range, String::new()));
    }

    fn say(&mut self, node: &Node<'_>, what: &str) {
        self.changes.push(format!("{}: {what}", node.words[0].token.span));
    }

    fn done(mut self) -> (String, Vec<String>) {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = self.text.to_owned();
        for (range, new) in self.edits.iter().rev() {
            text.replace_range(range.clone(), new);
        }
        (text, self.changes)
    }
}

/// The options of `proxy` as those of `forward`; what `src/plugins/forward/legacy.rs` runs.
fn proxy_option(option: &Node<'_>) -> Result<Fate, String> {
    let args = option.args();
    Ok(match (option.name(), &args[..]) {
        ("policy", ["first"]) => Fate::Becomes(
            option.words[1].range.clone(),
            "'policy first' is now 'policy sequential'",
            "sequential".into(),
        ),
        ("policy", ["least_conn"]) => Fate::Goes("'policy least_conn' is left out: the default is the nearest"),
        ("fail_timeout" | "max_fails" | "health_check" | "spray", _) => {
            Fate::Goes("the option is left out: 'forward' has health checks of its own")
        }
        ("protocol", ["dns", rest @ ..]) if rest.contains(&"force_tcp") => {
            Fate::Becomes(option.head(), "'protocol dns force_tcp' is now 'force_tcp'", "force_tcp".into())
        }
        ("protocol", ["dns" | "https_google", ..]) => Fate::Goes("'protocol' is left out: 'forward' speaks DNS"),
        ("protocol", [other, ..]) => {
            return Err(format!("{}: 'protocol {other}' has no form in 'forward'", option.words[0].token.span));
        }
        _ => Fate::Stays,
    })
}

fn kubernetes_option(option: &Node<'_>) -> Fate {
    match option.name() {
        "upstream" => Fate::Goes("'upstream' is left out: names are resolved by the server itself"),
        "resyncperiod" => Fate::Goes("'resyncperiod' is left out: watches need no resync"),
        "transfer" => Fate::Goes("'transfer' is a plugin of its own now"),
        "endpoint" if option.words.len() > 2 => {
            let others = option.words[2].range.start..option.head().end;
            Fate::Becomes(others, "only the first endpoint is kept: no other was used", String::new())
        }
        _ => Fate::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated(text: &str) -> (String, Vec<String>) {
        let (new, changes) = migrate(Path::new("Corefile"), text).unwrap();
        assert_eq!(migrate(Path::new("Corefile"), &new).unwrap().0, new, "a second time changes nothing");
        corefile::parse(Path::new("Corefile"), &new, &|_| None).unwrap_or_else(|error| panic!("{error}\n{new}"));
        (new, changes)
    }

    fn block(inside: &str) -> String {
        format!(".:53 {{\n{inside}}}\n")
    }

    #[test]
    fn the_words_that_change() {
        for (old, new) in [
            ("    proxy . 8.8.8.8\n", "    forward . 8.8.8.8\n"),
            ("    proxy . a { # why\n        spray\n    }\n", "    forward . a { # why\n    }\n"),
            ("    proxy . 192.0.2.1 {\n        spray\n    }\n", "    forward . 192.0.2.1\n"),
            ("    proxy . 192.0.2.1 { policy least_conn }\n", "    forward . 192.0.2.1\n"),
            ("    proxy . 192.0.2.1 { policy first }\n", "    forward . 192.0.2.1 { policy sequential }\n"),
            (
                "\tproxy . 192.0.2.1 {\n\t\texcept a.test # ours\n\n\t\tmax_fails 3 # many\n\t\tprotocol dns force_tcp\n\t}\n",
                "\tforward . 192.0.2.1 {\n\t\texcept a.test # ours\n\n\t\t# many\n\t\tforce_tcp\n\t}\n",
            ),
            (
                "    kubernetes a.test {\n        resyncperiod 5m\n        ttl 5\n        upstream\n    }\n",
                "    kubernetes a.test {\n        ttl 5\n    }\n",
            ),
            (
                "    kubernetes {\n        endpoint http://a http://b http://c # one\n    }\n",
                "    kubernetes {\n        endpoint http://a # one\n    }\n",
            ),
            (
                "    kubernetes a.test b.test {\n        ttl 5\n        transfer to 192.0.2.1 192.0.2.2\n    } # end\n    cache\n",
                "    kubernetes a.test b.test {\n        ttl 5\n    } # end\n    transfer a.test b.test {\n        to 192.0.2.1 192.0.2.2\n    }\n    cache\n",
            ),
            ("\twhoami\n\tfederation cluster.local {\n\t\tupstream\n\t}\n\tstartup echo hello\n", "\twhoami\n"),
            ("\tkubernetes a.test { transfer to * }\n", "\tkubernetes a.test\n\ttransfer a.test {\n\t\tto *\n\t}\n"),
        ] {
            assert_eq!(migrated(&block(old)).0, block(new));
        }
    }

    #[test]
    fn what_is_modern_stays_to_the_octet() {
        let text = "# head\r\n(up) {\r\n  forward . {$UP} \"a b\"   # x\r\n}\r\nproxy.test { import up\n }\r\n\n";
        assert_eq!(migrated(text), (text.to_owned(), Vec::new()));
    }

    #[test]
    fn snippets_and_files_to_be_imported_are_read_as_well() {
        let (new, changes) =
            migrated("(up) {\n    proxy . {$UP}\n}\n. {\n    import up\n    import custom/*.override\n}\n");
        assert!(new.contains("    forward . {$UP}\n"), "{new}");
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert_eq!(changes[0], "Corefile:2: 'proxy' is now 'forward'");
        assert!(changes[1].starts_with("Corefile:6: what is imported here is not changed"), "{changes:?}");
        assert_eq!(migrate(Path::new("f"), "proxy . 192.0.2.1 {\nspray\n}\n").unwrap().0, "forward . 192.0.2.1\n");
    }

    #[test]
    fn what_cannot_be_rewritten_is_said() {
        let why = |text: &str| migrate(Path::new("Corefile"), text).unwrap_err();
        assert_eq!(
            why(". {\nproxy . a {\nprotocol grpc\n}\n}"),
            "Corefile:3: 'protocol grpc' has no form in 'forward'"
        );
        assert_eq!(why(". {\nwhoami\n"), "Corefile: line 1: a '{' is not closed");
        assert_eq!(why("}"), "Corefile: line 1: a '}' closes nothing");
    }
}
