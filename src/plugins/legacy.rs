//! Old options that are directives of their own now: a server block reads as if they were written so.

use crate::corefile::{Directive, Token};

/// The directives of a block in modern form, and what to warn the operator of, each a whole line with its place.
///
/// `kubernetes ZONES { transfer to ADDRESS... }` (until CoreDNS 1.7) becomes `transfer ZONES { to ADDRESS... }`, as
/// corefile-migration has it.
pub fn modernize(directives: &[Directive]) -> (Vec<Directive>, Vec<String>) {
    let (mut modern, mut warnings) = (Vec::new(), Vec::new());
    for directive in directives {
        let is_old = |option: &Directive| directive.name.text == "kubernetes" && option.name.text == "transfer";
        if !directive.options().iter().any(is_old) {
            modern.push(directive.clone());
            continue;
        }
        let (old, rest): (Vec<_>, Vec<_>) = directive.options().iter().cloned().partition(is_old);
        let transfer = transfer(directive, &old);
        let words = |directive: &Directive| {
            let words = std::iter::once(&directive.name).chain(&directive.args);
            words.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = transfer.options().iter().map(words).collect();
        warnings.push(format!(
            "{} - plugin/kubernetes: 'transfer' is a plugin of its own now and runs as: {} {{ {} }}",
            old[0].name.span,
            words(&transfer),
            lines.join("; ")
        ));
        modern.push(Directive { block: Some(rest), ..directive.clone() });
        modern.push(transfer);
    }
    (modern, warnings)
}

/// The directive for the options `transfer to ADDRESS...` of one `kubernetes`.
fn transfer(kubernetes: &Directive, old: &[Directive]) -> Directive {
    let called = |at: &Token, text: &str| Token { text: text.to_owned(), span: at.span.clone() };
    let to = old.iter().map(|option| {
        let args = option.args.iter().filter(|word| word.text != "to").cloned().collect();
        Directive { name: called(&option.name, "to"), args, block: None }
    });
    Directive { name: called(&old[0].name, "transfer"), args: kubernetes.args.clone(), block: Some(to.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> (Vec<Directive>, Vec<String>) {
        let corefile = crate::corefile::parse(Path::new("Corefile"), text, &|_| None).unwrap();
        modernize(&corefile.blocks[0].directives)
    }

    #[test]
    fn transfer_leaves_kubernetes() {
        let (directives, warnings) = read(
            ". {\nerrors\nkubernetes a.test b.test {\nttl 5\ntransfer to 192.0.2.1\ntransfer to 192.0.2.2 *\n}\ncache\n}\n",
        );
        let names: Vec<_> = directives.iter().map(|directive| directive.name.text.as_str()).collect();
        assert_eq!(names, ["errors", "kubernetes", "transfer", "cache"]);
        assert_eq!(directives[1].options().len(), 1);
        assert_eq!(directives[2].options()[1].args[1].text, "*");
        assert_eq!(directives[2].options()[1].name.span.line, 6, "an error is said where the word stands");
        assert_eq!(
            warnings,
            ["Corefile:5 - plugin/kubernetes: 'transfer' is a plugin of its own now and runs as: \
              transfer a.test b.test { to 192.0.2.1; to 192.0.2.2 * }"]
        );
    }

    #[test]
    fn what_is_modern_stays() {
        let (directives, warnings) = read(". {\nkubernetes a.test {\nttl 5\n}\ntransfer a.test {\nto *\n}\n}\n");
        assert_eq!((directives.len(), warnings.len()), (2, 0));
        assert_eq!(directives[1].options()[0].name.text, "to");
    }
}
