//! The architecture as a test: rooms, arrows, and what the pages promise.
//!
//! The table of rooms is read from ARCHITECTURE.md; there is no second copy of it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use support::{Start, read, repository};

/// A room: what its row in the table says.
struct Room {
    /// `src/wire/` or `src/main.rs`.
    paths: Vec<String>,
    may_import: BTreeSet<String>,
}

fn rooms() -> Vec<Room> {
    let text = read("ARCHITECTURE.md");
    let (_, table) = text.split_once("| room | charter | may import | must never know |").expect("the table of rooms");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let paths = ticked(cells[0]);
        let may_import =
            ticked(cells[2]).iter().flat_map(|words| words.split_whitespace().map(str::to_owned)).collect();
        Room { paths, may_import }
    })
    .collect()
}

/// The parts of a text that stand in backticks.
fn ticked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A source file of the program, and its code without comments, texts and tests.
struct Source {
    /// From the repository, `src/wire/name.rs`.
    name: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&repository("src"), &mut files, &|path| path.extension().is_some_and(|extension| extension == "rs"));
    let stripped: Vec<(PathBuf, String, Vec<String>)> = files
        .into_iter()
        .map(|path| {
            let code = code_only(&std::fs::read_to_string(&path).expect("a source file"));
            let (code, test_modules) = without_tests(&code);
            (path, code, test_modules)
        })
        .collect();
    // `#[cfg(test)] mod tests;` puts a whole file or folder among the tests.
    let mut tests: BTreeSet<PathBuf> = BTreeSet::new();
    for (path, _, modules) in &stripped {
        let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => path.parent().expect("a folder").to_owned(),
            _ => path.with_extension(""),
        };
        tests.extend(modules.iter().flat_map(|module| [folder.join(format!("{module}.rs")), folder.join(module)]));
    }
    stripped
        .into_iter()
        .filter(|(path, ..)| !path.ancestors().any(|above| tests.contains(above)))
        .map(|(path, code, _)| {
            let name = path.strip_prefix(repository("")).expect("in the repository").display().to_string();
            Source { name, code }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.path());
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                collect(&path, files, wanted);
            }
        } else if wanted(&path) {
            files.push(path);
        }
    }
}

/// Blanks out comments, texts and character literals; lines stay where they are.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let literal = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = raw_text(rest) {
            len
        } else if rest.starts_with('"') {
            quoted(rest, b'"')
        } else if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && rest.starts_with('\'') {
            quoted(rest, b'\'')
        } else {
            0
        };
        if literal > 0 {
            code.extend(rest[..literal].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += literal;
        } else {
            let next = rest.chars().next().expect("not at the end");
            code.push(next);
            at += next.len_utf8();
        }
    }
    code
}

fn raw_text(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
    let opened = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - opened.len();
    Some(start + opened.find(&end)? + end.len())
}

fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Takes out every item behind `#[cfg(test)]`, and names the modules among them that stand in files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut left = String::new();
    let mut modules = Vec::new();
    let mut rest = code;
    while let Some(found) = rest.find(MARK) {
        left.push_str(&rest[..found]);
        let item = &rest[found + MARK.len()..];
        let end = item.find([';', '{']).unwrap_or(item.len());
        if item[end..].starts_with('{') {
            let mut depth = 0;
            let close = item[end..].find(|c| {
                depth += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                c == '}' && depth == 0
            });
            rest = &item[close.map_or(item.len(), |close| end + close + 1)..];
        } else {
            let words: Vec<&str> = item[..end].split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "mod") {
                modules.extend(words.get(at + 1).map(|module| (*module).to_owned()));
            }
            rest = &item[(end + 1).min(item.len())..];
        }
    }
    left.push_str(rest);
    (left, modules)
}

impl Source {
    /// The module path: `src/plugins/cache/mod.rs` is `plugins cache`.
    fn module(&self) -> Vec<String> {
        let path = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        let parts = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
        parts.map(str::to_owned).collect()
    }

    /// Every path into the crate that the code names, absolute, with its line.
    fn imports(&self) -> Vec<(usize, Vec<String>)> {
        let module = self.module();
        let mut found = Vec::new();
        for (index, line) in self.code.lines().enumerate() {
            for start in ["crate::", "super::"] {
                for (at, _) in line.match_indices(start) {
                    let before = line[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
                        continue;
                    }
                    let mut rest = &line[at..];
                    let mut base = module.clone();
                    if start == "crate::" {
                        base.clear();
                        rest = &rest["crate::".len()..];
                    } else {
                        while let Some(above) = rest.strip_prefix("super::") {
                            base.pop();
                            rest = above;
                        }
                    }
                    for path in heads(rest) {
                        found.push((index + 1, base.iter().cloned().chain(path).collect()));
                    }
                }
            }
        }
        found
    }
}

/// The first two words of a path, or of each path in a brace: `wire::{Name, Query}`, `{wire, zone}`.
fn heads(rest: &str) -> Vec<Vec<String>> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if let Some(inner) = rest.strip_prefix('{') {
        let inner = inner.split('}').next().unwrap_or_default();
        return inner.split(',').map(|path| path.trim()).filter(|path| !path.is_empty()).flat_map(heads).collect();
    }
    let first = word(rest);
    let second = rest[first.len()..].strip_prefix("::").map(word).unwrap_or_default();
    if first.is_empty() { Vec::new() } else { vec![[first, second].into_iter().filter(|w| !w.is_empty()).collect()] }
}

/// What is a module directly below `src/`.
fn all_rooms() -> BTreeSet<String> {
    let entries = std::fs::read_dir(repository("src")).expect("src");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .filter(|name| !matches!(name.as_str(), "lib" | "main"))
        .collect()
}

#[test]
fn every_room_stands_in_the_table_and_has_a_charter() {
    let listed: BTreeSet<String> = rooms()
        .iter()
        .flat_map(|room| &room.paths)
        .map(|path| path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches('/').to_owned())
        .filter(|name| name != "main")
        .collect();
    assert_eq!(listed, all_rooms());
    for room in rooms() {
        for path in room.paths {
            let file = if path.ends_with('/') { format!("{path}mod.rs") } else { path };
            assert!(read(&file).starts_with("//! ") || file == "src/main.rs", "{file} opens with the room's charter");
        }
    }
}

#[test]
fn arrows_are_those_of_the_table() {
    let rooms = rooms();
    let names = all_rooms();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.name != "src/lib.rs") {
        let room = rooms
            .iter()
            .find(|room| room.paths.iter().any(|path| source.name.starts_with(path.as_str())))
            .unwrap_or_else(|| panic!("{} is in no room", source.name));
        let own = source.module().first().cloned().unwrap_or_default();
        for (line, path) in source.imports() {
            let Some(other) = path.first().filter(|other| names.contains(*other)) else { continue };
            if *other != own && !room.may_import.contains(other) {
                wrong.push(format!("{}:{line} imports {}", source.name, path.join("::")));
            }
        }
        // The binary names the library by its crate.
        for (index, line) in source.code.lines().enumerate().filter(|_| source.name == "src/main.rs") {
            for (at, found) in line.match_indices("dunlin::") {
                for path in heads(&line[at + found.len()..]) {
                    if !room.may_import.contains(&path[0]) && path[0] != "cli" {
                        wrong.push(format!("src/main.rs:{} imports {}", index + 1, path.join("::")));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not have:\n{}", wrong.join("\n"));
}

#[test]
fn no_plugin_knows_another() {
    let mut wrong = Vec::new();
    let all = sources();
    let plugins: BTreeSet<String> = all
        .iter()
        .map(Source::module)
        .filter(|module| module.len() > 1 && module[0] == "plugins")
        .map(|module| module[1].clone())
        .collect();
    assert!(plugins.len() > 5, "{plugins:?}");
    for source in all.iter().filter(|source| source.name.starts_with("src/plugins/")) {
        let module = source.module();
        let Some(own) = module.get(1) else { continue };
        for (line, path) in source.imports() {
            let other = path.get(1).filter(|other| path[0] == "plugins" && plugins.contains(*other) && *other != own);
            wrong.extend(other.map(|other| format!("{}:{line} knows {other}", source.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_that_only_one_room_may_say() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (index, line) in source.code.lines().enumerate() {
            let says = |word: &str| {
                line.match_indices(word).any(|(at, _)| {
                    let outside = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    outside(line[..at].chars().next_back()) && outside(line[at + word.len()..].chars().next())
                })
            };
            let mut complain = |why: &str| wrong.push(format!("{}:{}: {why}: {}", source.name, index + 1, line.trim()));
            if says("unsafe") && source.name != "src/engine/system.rs" {
                complain("unsafe lives in src/engine/system.rs");
            }
            if (says("kube") || says("k8s_openapi")) && !source.name.starts_with("src/cluster/") && line.contains("::")
            {
                complain("only src/cluster imports kube");
            }
            if line.contains(".unwrap()") || line.replace("self.expect(", "").contains(".expect(") {
                complain("no unwrap outside tests");
            }
            if line.contains("todo!") || line.contains("unimplemented!") {
                complain("not done");
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_unsafe_block_is_explained() {
    let text = read("src/engine/system.rs");
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn") {
            let above = &lines[at.saturating_sub(6)..at];
            // A block says why it is sound, a function what its callers promise.
            let reason = if code.contains("unsafe fn") { "# Safety" } else { "SAFETY" };
            assert!(above.iter().any(|line| line.contains(reason)), "src/engine/system.rs:{}: {line}", at + 1);
        }
    }
}

#[test]
fn the_pages_name_what_exists() {
    const ROOTS: [&str; 9] =
        ["src/", "tests/", "deploy/", "benches/", "corefile-examples/", "fuzz/", ".ci/", "lab/", ".github/"];
    let mut missing = Vec::new();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "deploy/README.md"] {
        for word in ticked(&read(page)).iter().flat_map(|text| text.split_whitespace()) {
            let path = word.trim_end_matches([',', '.', ':', ';']);
            let rooted = ROOTS.iter().any(|root| path.starts_with(root) && path.len() > root.len());
            let placeholder = path.contains(['<', '*', '{', '$']) || path.contains("NAME") || path.contains("DIR");
            if rooted && !placeholder && !repository(path).exists() {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "named, but not there: {missing:#?}");
}

#[test]
fn the_readme_lists_the_plugins_there_are() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## Plugins").expect("a section on plugins");
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: BTreeSet<String> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| ticked(line).first().cloned())
        .collect();
    let (code, output) = Start::bare().argument("-plugins").run_to_end();
    assert_eq!(code, 0, "{output}");
    let names: Vec<String> = output
        .lines()
        .map(|line| line.trim().trim_start_matches("dns.").to_owned())
        .filter(|line| !line.is_empty() && !line.contains([' ', ':']) && line != "dns")
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted, "-plugins lists them in alphabetical order");
    assert_eq!(listed, names.into_iter().collect(), "README.md against dunlin -plugins");
}

#[test]
fn no_path_of_a_machine_is_committed() {
    // Written in two halves, so that this file does not hold them.
    let words = [["/wo", "rk/"], ["/tmp/", "wt"], ["/ro", "ot/"], ["/tmp/", "t-"]].map(|halves| halves.concat());
    let mut files = Vec::new();
    collect(&repository(""), &mut files, &|_| true);
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (index, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                let name = path.strip_prefix(repository("")).expect("in the repository").display().to_string();
                found.entry(name).or_default().push(index + 1);
            }
        }
    }
    // A worktree's own `.git` file names its repository.
    found.remove(".git");
    assert!(found.is_empty(), "{found:#?}");
}

/// What the manual of a plugin offers is tried in its tests: every option of the syntax has to be named there.
#[test]
fn every_option_of_a_manual_is_named_in_its_plugin_s_tests() {
    let mut missing = Vec::new();
    for directory in std::fs::read_dir(repository("src/plugins")).expect("the plugins") {
        let path = directory.expect("an entry").path();
        let mut files = vec![path.clone()];
        if path.is_dir() {
            files.clear();
            collect(&path, &mut files, &|path| path.extension().is_some_and(|extension| extension == "rs"));
        }
        let head = if path.is_dir() { path.join("mod.rs") } else { path.clone() };
        let manual = std::fs::read_to_string(head).expect("a source file");
        let tests: String = files.iter().map(|file| tests_of(file)).collect();
        for option in options_of(&manual) {
            let named =
                tests.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == option);
            if !named {
                missing.push(format!("{}: {option}", path.file_stem().unwrap_or_default().display()));
            }
        }
    }
    missing.sort();
    assert!(missing.is_empty(), "options that no test of their plugin names:\n{}", missing.join("\n"));
}

/// The first words of the lines within the braces of a manual's syntax.
fn options_of(manual: &str) -> BTreeSet<String> {
    let lines = manual.lines().map_while(|line| line.strip_prefix("//!"));
    let syntax = lines.skip_while(|line| line.trim() != "# Syntax").skip(1).take_while(|line| !line.starts_with(" # "));
    let inside = syntax.filter(|line| line.starts_with("     ")).filter_map(|line| line.split_whitespace().next());
    let names = inside.flat_map(|word| word.split('|')).map(|word| word.trim_matches(['[', ']']));
    names.filter(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// The tests of a file: all of it, or what stands behind `#[cfg(test)]`.
fn tests_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a source file");
    let is_all_tests = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    let (_, tests) =
        if is_all_tests { ("", text.as_str()) } else { text.split_once("#[cfg(test)]").unwrap_or_default() };
    // `\n` of the texts would grow together with the word behind it.
    tests.replace("\\n", " ")
}
