//! Files: reading one, and finding those that an import pattern names.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The largest file taken, in octets. A ConfigMap holds 1 MiB at most.
const MAX_FILE: u64 = 16 << 20;

/// Reads a file as text. What is no UTF-8 (a comment in an old encoding) becomes U+FFFD.
///
/// # Errors
/// Why the file cannot be read, with its path.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{}: larger than {} MiB", path.display(), MAX_FILE >> 20));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Whether a path has wildcards.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// The files that a pattern with `*` and `?` names, in the order of their names. Directories are left out: a mounted
/// ConfigMap has hidden ones beside its keys. What cannot be listed has no files.
pub(super) fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        match name.to_str().filter(|name| is_pattern(name)) {
            Some(name) => found = found.iter().flat_map(|directory| matches_in(directory, name)).collect(),
            None => found.iter_mut().for_each(|path| path.push(name)),
        }
    }
    found.retain(|path| path.exists() && !path.is_dir());
    found.sort();
    found
}

fn matches_in(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| fits(pattern, name)).map(|name| directory.join(name)).collect()
}

/// Whether a name fits a pattern in which `*` is any run of characters and `?` any one.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Behind the last `*` seen, and what it has to swallow next if the rest does not fit.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(&wanted) if wanted == '?' || wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((behind, swallowed)) => {
                    star = Some((behind, swallowed + 1));
                    p = behind;
                    n = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let table = [
            ("*.override", "a.override", true),
            ("*.override", ".override", true),
            ("*.override", "a.server", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*c?", "abcbcd", true),
            ("a*c?", "abcbc", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("é?", "éü", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
