//! The pages of `docs/` that are made from the code, and the links of all pages.
//!
//! `DUNLIN_WRITE_DOCS=1 cargo test --test docs` writes the pages anew.

mod support;

use regex::Regex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{read, repository};

/// Holds a page to what it is made from, or writes it.
fn current(page: &str, text: &str) {
    if std::env::var_os("DUNLIN_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(repository(page).parent().unwrap()).unwrap();
        std::fs::write(repository(page), text).unwrap();
    }
    let there = std::fs::read_to_string(repository(page)).unwrap_or_default();
    assert!(there == text, "{page} is not current: DUNLIN_WRITE_DOCS=1 cargo test --test docs");
}

/// A row of a table: a bar would end a cell.
fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The file of a plugin; `loop` is a word of Rust.
fn plugin_file(directive: &str) -> PathBuf {
    let name = if directive == "loop" { "loop_detection" } else { directive };
    let single = repository(&format!("src/plugins/{name}.rs"));
    if single.exists() { single } else { repository(&format!("src/plugins/{name}/mod.rs")) }
}

/// The lines of a file's head, without their marks.
fn head(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()).collect()
}

/// `proxy` only says what became of it.
fn directives() -> Vec<&'static str> {
    let mut names: Vec<_> = dunlin::plugins::directives().into_iter().filter(|name| *name != "proxy").collect();
    names.sort_unstable();
    names
}

#[test]
fn every_plugin_has_its_page() {
    let readme = read("README.md");
    let mut index =
        "# Plugins\n\nMade from the heads of the plugins' own files.\n\n| directive | what it does |\n|---|---|\n"
            .to_owned();
    let blank_lines = Regex::new("\n{3,}").unwrap();
    for name in directives() {
        let source = plugin_file(name);
        let source = source.strip_prefix(repository("")).unwrap().display().to_string();
        let mut page = format!("# {name}\n\n<!-- made from {source} by tests/docs.rs -->\n");
        let mut fenced = false;
        for line in head(&plugin_file(name)) {
            fenced ^= line.starts_with("```");
            page += if line.starts_with("# ") && !fenced { "\n#" } else { "" };
            page += &format!("{line}\n");
        }
        let squeezed = blank_lines.replace_all(&page, "\n\n").into_owned();
        current(&format!("docs/plugins/{name}.md"), &squeezed);
        let does = readme.lines().find_map(|line| line.strip_prefix(&format!("| `{name}` | "))).unwrap_or_default();
        index += &format!("| [`{name}`]({name}.md) | {does}\n");
    }
    current("docs/plugins/README.md", &index);
    // None that is left over from a directive that is gone.
    for file in std::fs::read_dir(repository("docs/plugins")).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(name == "README" || directives().contains(&name.as_str()), "docs/plugins/{name}.md is of no plugin");
    }
}

struct Metric {
    kind: String,
    labels: String,
    help: String,
    counted_in: String,
}

/// The metrics that a source file describes, in each of the forms that the code has for it.
fn described(file: &str, text: &str, metrics: &mut BTreeMap<String, Metric>) {
    let blocks = Regex::new(
        r#"name:\s*"((?:coredns|dunlin)_\w+)",\s*help:\s*"((?:[^"\\]|\\(?s:.))*)",\s*labels:\s*(&\[[^\]]*\]|\w+),\s*kind:\s*(?:MetricKind::)?(\w+)"#,
    );
    let rows =
        Regex::new(r#""((?:coredns|dunlin)_\w+)"\s+(Counter|Gauge|Histogram)\s+(\w+)\s+"((?:[^"\\]|\\(?s:.))*)""#);
    let lists = Regex::new(
        r#""((?:coredns|dunlin)_\w+)"\s+MetricKind::(\w+)(?:\(\w+\))?,\s*(\[[^\]]*\]),\s*"((?:[^"\\]|\\(?s:.))*)""#,
    );
    let families =
        Regex::new(r#"\(\s*"((?:coredns|dunlin)_\w+)",\s*"((?:[^"\\]|\\(?s:.))*)",\s*(COUNTER|HISTOGRAM|GAUGE)"#);
    let mut add = |name: &str, kind: &str, labels: &str, help: &str| {
        let constant = format!("const {labels}: &[&str] = &");
        let labels = text.split_once(constant.as_str()).map_or(labels, |(_, rest)| rest.split(';').next().unwrap());
        let labels: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
        let help = Regex::new(r"\\\n\s*").unwrap().replace_all(help, "").replace("\\\"", "\"");
        let counted_in = file.to_owned();
        metrics
            .insert(name.to_owned(), Metric { kind: kind.to_lowercase(), labels: labels.join(", "), help, counted_in });
    };
    blocks.unwrap().captures_iter(text).for_each(|found| add(&found[1], &found[4], &found[3], &found[2]));
    rows.unwrap().captures_iter(text).for_each(|found| add(&found[1], &found[2], &found[3], &found[4]));
    lists.unwrap().captures_iter(text).for_each(|found| add(&found[1], &found[2], &found[3], &found[4]));
    families.unwrap().captures_iter(text).for_each(|found| add(&found[1], &found[3], "", &found[2]));
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("tests" | "testing" | "manual") => {}
            _ if path.is_dir() => sources(&path, files),
            _ => files.push(path),
        }
    }
    files.sort();
}

#[test]
fn every_metric_has_its_row() {
    let (mut files, mut metrics, mut named) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    sources(&repository("src"), &mut files);
    let name =
        Regex::new(r#""((?:coredns|dunlin)_[a-z0-9_]+_(?:total|seconds|bytes|info|entries|enabled|in_use))""#).unwrap();
    for path in files {
        let file = path.strip_prefix(repository("")).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        described(&file, text, &mut metrics);
        named.extend(name.captures_iter(text).map(|found| (found[1].to_owned(), file.clone())));
    }
    let missed: Vec<_> = named.iter().filter(|(name, _)| !metrics.contains_key(*name)).collect();
    assert!(missed.is_empty(), "described in a form that this test does not read: {missed:?}");
    let mut page = "# Metrics\n\nWhat `/metrics` serves (the directive `prometheus`), made from the code. `coredns_*` have \
                    CoreDNS's names, meaning and\nlabels; `dunlin_*` are ours; `process_*` are those of every program that \
                    Prometheus watches. Traffic has the labels `server`, `zone`,\n`view` and those that CoreDNS gives it \
                    (`proto`, `family`, `type`, `rcode`, `plugin`).\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for (name, Metric { kind, labels, help, counted_in }) in &metrics {
        let labels = if labels.is_empty() && counted_in.ends_with("exposition.rs") { "traffic" } else { labels };
        page += &row(&[&format!("`{name}`"), kind, labels, help]);
    }
    assert!(metrics.len() > 40, "{}", metrics.len());
    current("docs/metrics.md", &page);
}

/// Every metric of the page is named in a test, of the room that counts it or of the whole server.
#[test]
fn every_metric_is_tested() {
    let mut files = Vec::new();
    let mut collect = vec![repository("src"), repository("tests")];
    while let Some(folder) = collect.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => collect.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                false => {}
            }
        }
    }
    let tests: String = files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let all = path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
            let tests = text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned()).unwrap_or_default();
            if all { text } else { tests }
        })
        .collect();
    let name = Regex::new(r"(?m)^\| `(\w+)` ").unwrap();
    let page = read("docs/metrics.md");
    let names: Vec<_> = name.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    let untested: Vec<_> = names.iter().filter(|name| !tests.contains(name.as_str())).collect();
    assert!(names.len() > 60 && untested.is_empty(), "no test names {untested:?}");
}

/// The table of bounds says what the code says: the value, a metric that exists, a test that exists.
#[test]
fn every_bound_is_that_of_the_code() {
    let (page, metrics) = (read("docs/operations.md"), read("docs/metrics.md"));
    let table = page.split("\n## Bounds\n").nth(1).expect("the section").split("\n## ").next().expect("its end");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split('|').map(str::trim).collect())
        .skip(1)
        .collect();
    let word = Regex::new("`([^`]+)`").unwrap();
    let words = |cell: &str| -> Vec<String> { word.captures_iter(cell).map(|found| found[1].to_owned()).collect() };
    let (mut metrics_before, mut values) = (Vec::new(), 0);
    for row in &rows {
        let [what, bound, code, metric, test] = row[..] else { panic!("five cells: {row:?}") };
        let said: String = bound.chars().take_while(|letter| letter.is_ascii_digit() || *letter == ',').collect();
        let said: Option<u64> = said.trim_end_matches(',').replace(',', "").parse().ok();
        match &words(code)[..] {
            [name, file] => assert_eq!(said, Some(constant(file, name)), "{what}"),
            [name] => assert_eq!(said, limit(name), "{what}"),
            _ => assert_eq!(said, None, "{what}"),
        }
        values += usize::from(said.is_some());
        let named = if metric == "the same" { metrics_before } else { words(metric) };
        let known = |name: &String| metrics.contains(&format!("| `{name}` |"));
        assert!(named.first().is_some_and(known), "{what}: no metric of {named:?}");
        metrics_before = named;
        let [name, file] = &words(test)[..] else { panic!("a test and its file: {test}") };
        assert!(read(file).contains(&format!("fn {name}()")), "{what}: there is no test {name} in {file}");
    }
    assert!(rows.len() > 15 && values > 12, "{} rows, {values} values", rows.len());
}

/// A number in the source: `20_000`, or `64 << 10`.
fn constant(file: &str, name: &str) -> u64 {
    let value = Regex::new(&format!(r"const {name}: \w+ = (\d[\d_]*)(?: << (\d+))?;")).unwrap();
    let text = read(file);
    let found = value.captures(&text).unwrap_or_else(|| panic!("{file} has no number {name}"));
    let number: u64 = found[1].replace('_', "").parse().unwrap();
    number << found.get(2).map_or(0, |shift| shift.as_str().parse().unwrap())
}

/// A limit of connections where nothing is said.
fn limit(name: &str) -> Option<u64> {
    let limits = dunlin::engine::Limits::default();
    match name {
        "Limits.connections" => Some(limits.connections as u64),
        "Limits.streams" => Some(limits.streams.into()),
        "Limits.queries" => limits.queries.map(u64::from),
        "Limits.read" => Some(limits.read.as_secs()),
        "Limits.write" => Some(limits.write.as_secs()),
        "Limits.idle" => Some(limits.idle.as_secs()),
        _ => panic!("{name} is no limit"),
    }
}

#[test]
fn every_difference_has_its_row() {
    let list = read("tests/data/conformance/deliberate.txt");
    let mut page = "# Where answers differ from CoreDNS's on purpose\n\nMade from `tests/data/conformance/deliberate.txt`, which \
                    the conformance test reads: dunlin answers so, and otherwise\nlike the recorded CoreDNS. What differs \
                    beside answers is in `README.md`, \"How it differs from CoreDNS on purpose\".\n\n\
                    | rule | why | CoreDNS | dunlin | for example |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut rules = 0;
    for rule in list.split("\nrule ").skip(1) {
        let (name, body) = rule.split_once('\n').unwrap();
        let all = |word: &str| -> Vec<&str> {
            body.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).map(str::trim).collect()
        };
        assert!(!all("why").is_empty() && !all("ask").is_empty(), "{name}");
        let example = format!("`{}`", all("ask")[0]);
        page += &row(&[name, &all("why").join(" "), &all("theirs").join(" "), &all("ours").join("; "), &example]);
        rules += 1;
    }
    assert_eq!(rules, list.lines().filter(|line| line.starts_with("rule ")).count());
    page += "\n## In other plugins, and in which Corefiles are taken\n\nMade from `tests/data/differential/deliberate.txt`, which \
             the differential test reads: the Corefiles and questions of these cases stand\nbeside it. A `*` is any text.\n\n\
             | why | cases |\n|---|---|\n";
    for (why, cases) in differential_reasons() {
        page += &row(&[&why, &cases.join("; ")]);
    }
    current("docs/differences.md", &page);
}

/// The reasons of the differential test's differences in their order, each with its cases.
fn differential_reasons() -> Vec<(String, Vec<String>)> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for line in read("tests/data/differential/deliberate.txt").lines().filter(|line| !line.is_empty()) {
        let parts: Vec<_> = line.splitn(3, ": ").collect();
        let [file, case, why] = parts.as_slice() else { panic!("NAME: CASE: REASON expected: {line}") };
        let case = format!("`{file}: {case}`");
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, cases)) => cases.push(case),
            None => reasons.push(((*why).to_owned(), vec![case])),
        }
    }
    assert!(reasons.len() > 30, "{}", reasons.len());
    reasons
}

/// Every page of the repository.
fn pages() -> Vec<PathBuf> {
    fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                collect(&path, pages);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&repository(""), &mut found);
    found
}

/// The name that a heading has as the target of a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\[[^\]]*\]\(([^)\s]+)\)").unwrap();
    let (mut dead, mut alive) = (Vec::new(), 0);
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            if target.contains("://") || target.contains("::") || target.starts_with("mailto:") {
                continue; // other people's pages are not ours to test
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let there = file.exists()
                && (heading.is_empty()
                    || std::fs::read_to_string(&file).is_ok_and(|text| {
                        text.lines()
                            .any(|line| line.starts_with('#') && anchor(line.trim_start_matches(['#', ' '])) == heading)
                    }));
            if there { alive += 1 } else { dead.push(format!("{}: {target}", page.display())) }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(alive > 30, "{alive}");
}

/// `dunlin COMMAND` and `-flag` in the pages are commands and flags that there are.
#[test]
fn commands_in_the_pages_are_known() {
    let command = Regex::new(r"(?m)(?:^|`)dunlin ([a-z]+)\b").unwrap();
    let flag = Regex::new(r"(?:^|[ `])dunlin (-[a-z.-]+)").unwrap();
    let (commands, flags) = (dunlin::cli::COMMANDS, dunlin::cli::FLAGS);
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        // In prose "dunlin" has other verbs: only what is set in code counts.
        let code: Vec<_> = text.split("```").skip(1).step_by(2).collect();
        let code = format!("{}\n{}", code.join("\n"), text.replace("\ndunlin", " dunlin"));
        let unknown = |word: &str| !commands.iter().any(|command| command.name == word);
        wrong.extend(command.captures_iter(&code).map(|found| found[1].to_owned()).filter(|word| unknown(word)));
        let unknown = |word: &str| !flags.iter().any(|flag| flag.name == word.trim_start_matches('-'));
        wrong.extend(flag.captures_iter(&text).map(|found| found[1].to_owned()).filter(|word| unknown(word)));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn links_to_headings_are_made_as_forges_make_them() {
    assert_eq!(anchor("SERVFAIL at start"), "servfail-at-start");
    assert_eq!(anchor("The pod ends with `[FATAL] plugin/loop`"), "the-pod-ends-with-fatal-pluginloop");
}
