//! The directive as the Corefile writes it.

use super::*;
use crate::corefile::values;
use crate::plugin::{Directive, Token};
use crate::wire::{CLASS_CH, CLASS_IN};

const OPTIONS: &str = "match, var, expr, answer, additional, authority, rcode, ederror, fallthrough";

/// Reads one directive.
pub(super) fn rule(setup: &mut Setup<'_>, directive: &Directive) -> Result<Rule, Error> {
    let [class, qtype, zones @ ..] = directive.args.as_slice() else {
        return Err(setup.arguments(directive, "template CLASS TYPE [ZONE...]"));
    };
    let mut rule = Rule {
        class: read_class(setup, class)?,
        qtype: RecordType::from_mnemonic(&qtype.text)
            .ok_or_else(|| setup.error(qtype, format!("invalid RR type '{}'", qtype.text)))?,
        zones: Vec::new(),
        patterns: Vec::new(),
        conditions: Conditions::default(),
        records: Vec::new(),
        rcode: Rcode::NOERROR,
        extended_error: None,
        fallthrough: Fallthrough::default(),
    };
    for name in setup.zones_or_block(zones)? {
        let (label, class, qtype) = (name.to_string(), value::class(rule.class), rule.qtype.to_string());
        let labels = [&*setup.plan.server, &label, setup.plan.view_name(), &class, &qtype];
        let matches = setup.metrics.counter(&MATCHES).with_label_values(&labels);
        rule.zones.push(Zone { name, label, matches });
    }
    // Templates may stand before the variables they use; the variables need the order of the file.
    for option in directive.options() {
        match option.name.text.as_str() {
            "var" => rule.conditions.read_variable(setup, option)?,
            "expr" => rule.conditions.read_condition(setup, option)?,
            _ => {}
        }
    }
    for option in directive.options() {
        read_option(setup, &mut rule, option)?;
    }
    Ok(rule)
}

fn read_option(setup: &mut Setup<'_>, rule: &mut Rule, option: &Directive) -> Result<(), Error> {
    match (option.name.text.as_str(), option.args.as_slice()) {
        ("match" | "answer" | "additional" | "authority", []) => {
            return Err(setup.arguments(option, &format!("{} TEXT...", option.name.text)));
        }
        ("match", patterns) => {
            for word in patterns {
                let pattern = Regex::new(&word.text)
                    .map_err(|why| setup.error(word, format!("could not parse regex '{}': {why}", word.text)))?;
                rule.patterns.push(pattern);
            }
        }
        ("answer", records) => read_records(setup, rule, Section::Answer, records)?,
        ("additional", records) => read_records(setup, rule, Section::Additional, records)?,
        ("authority", records) => read_records(setup, rule, Section::Authority, records)?,
        ("rcode", [code]) => {
            rule.rcode = Rcode::from_mnemonic(&code.text)
                .ok_or_else(|| setup.error(code, format!("unknown rcode '{}'", code.text)))?;
        }
        ("rcode", _) => return Err(setup.arguments(option, "rcode CODE")),
        ("ederror", [code, text @ ..]) if text.len() < 2 => {
            let number = values::integer(&code.text, 0..=65535)
                .map_err(|why| setup.error(code, format!("error parsing extended DNS error code {why}")))?;
            rule.extended_error = Some((number as u16, text.first().map(|text| text.text.clone()).unwrap_or_default()));
        }
        ("ederror", _) => return Err(setup.arguments(option, "ederror CODE [TEXT]")),
        ("fallthrough", _) => rule.fallthrough = Fallthrough::read(setup, option)?,
        ("upstream", _) => setup.warn(&option.name, "upstream does nothing since CoreDNS 1.6; leave it out"),
        ("var" | "expr", _) => {}
        _ => return Err(setup.unknown(option, OPTIONS)),
    }
    Ok(())
}

fn read_records(setup: &Setup<'_>, rule: &mut Rule, section: Section, records: &[Token]) -> Result<(), Error> {
    for word in records {
        let template = Template::parse(&word.text, &rule.conditions.names())
            .map_err(|why| setup.error(word, format!("could not compile template '{}': {why}", word.text)))?;
        rule.records.push((section, template));
    }
    Ok(())
}

fn read_class(setup: &Setup<'_>, word: &Token) -> Result<u16, Error> {
    Ok(match word.text.to_ascii_uppercase().as_str() {
        "IN" => CLASS_IN,
        "CH" => CLASS_CH,
        "HS" => 4,
        "NONE" => 254,
        "ANY" => CLASS_ANY,
        _ => return Err(setup.error(word, format!("invalid query class '{}'; expected IN, CH or ANY", word.text))),
    })
}
