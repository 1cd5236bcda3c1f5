//! # Description
//! `view` chooses among server blocks of the same zone and port: a block with a view is asked only for queries its
//! expressions are true of. The blocks of a zone are tried in the order of the file, and the first that has no view or
//! whose view admits the query answers it; where none does, the next shorter zone is tried. A block without a view
//! therefore comes last: what stands behind it is never asked, and is warned about.
//!
//! A zone without views costs nothing. Where there are some, a query pays for the expressions up to the one that fits,
//! and stays in the fast lane; with `server_ip()` or `server_port()` in them it takes the slow lane.
//!
//! # Syntax
//! ```text
//! view NAME {
//!     expr EXPRESSION
//! }
//! ```
//! - **NAME** is the `view` label of the metrics, and the label `view/name` of `metadata`.
//! - `expr` can be given several times; all have to be true. An expression that fails for a query is not true of it.
//!
//! Functions about the query: `type()` (`'AAAA'`), `name()` (lower case, with its last dot), `class()`, `proto()`
//! (`'udp'` or `'tcp'`), `size()`, `client_ip()`, `port()`, `id()`, `opcode()`, `do()`, `bufsize()`, `server_ip()`,
//! `server_port()`, `incidr(IP, NETWORK)` and `metadata(LABEL)`. `port()` and `server_port()` are strings; IPv6
//! addresses have no brackets.
//!
//! The language is that of expr-lang: `'string'` `"string"` `12` `1.5` `true` `nil` `[1, 2]` `{key: 'value'}`; `==`
//! `!=` `<` `<=` `>` `>=` `and` `&&` `or` `||` `not` `!` `in` `not in` `contains` `startsWith` `endsWith` `matches` `+`
//! `-` `*` `/` `%` `**` `..` `??` `? :` `if … { … } else { … }` `|` `let x = …;` `list[0]` `list[1:3]` `map.key`; and
//! its functions `len` `lower` `upper` `trim` `trimPrefix` `trimSuffix` `split` `splitAfter` `join` `replace` `repeat`
//! `indexOf` `lastIndexOf` `hasPrefix` `hasSuffix` `int` `float` `string` `abs` `ceil` `floor` `round` `min` `max`
//! `mean` `median` `first` `last` `take` `reverse` `concat` `flatten` `uniq` `sort` `keys` `values` `get` `toPairs`
//! `fromPairs` `toJSON` `fromJSON` `toBase64` `fromBase64` `bitand` `bitor` `bitxor` `bitnand` `bitnot` `bitshl`
//! `bitshr` `bitushr`, and with an expression for each element (`#`, the place of which is `#index`) `all` `any` `one`
//! `none` `filter` `map` `find` `findIndex` `findLast` `findLastIndex` `count` `sum` `groupBy` `sortBy` `reduce` (with
//! `#acc`).
//!
//! Times: `now()`, `date('2023-08-14')`, `date(STRING, LAYOUT)` and `date(STRING, LAYOUT, TIMEZONE)` with a layout of Go's
//! (`'02.01.2006 15:04'`), `duration('1h30m')`, `timezone('Europe/Berlin')`, `now(TIMEZONE)`, `date(TIMEZONE, STRING)`.
//! They are compared; `-` between two times gives a duration, which `+` and `-` move a time by. A time has the methods
//! `.Year()` `.Month()` `.Day()` `.Hour()` `.Minute()` `.Second()` `.Nanosecond()` `.Weekday()` `.YearDay()` `.ISOWeek()`
//! `.Unix()` `.UnixMilli()` `.UnixMicro()` `.UnixNano()` `.Add()` `.AddDate()` `.Sub()` `.After()` `.Before()` `.Equal()`
//! `.Compare()` `.Round()` `.Truncate()` `.In()` `.UTC()` `.Local()` `.Location()` `.Zone()` `.IsDST()` `.IsZero()`
//! `.Format(LAYOUT)` `.String()`, a duration `.Hours()` `.Minutes()` `.Seconds()` `.Milliseconds()` `.Microseconds()`
//! `.Nanoseconds()` `.Abs()` `.Round()` `.Truncate()` `.String()`. A month and a weekday are no numbers: it is
//! `int(now().Month()) == 8`, `now().Weekday().String() in ['Saturday', 'Sunday']`. Timezones are read at load, by their
//! names in the expression, from the system's `/usr/share/zoneinfo`; an image without it knows `UTC` and `Local` alone.
//!
//! What does not fit together is an error at load. An evaluation ends after 20,000 steps, as not true.
//!
//! In the Corefile `#` starts a comment, so an expression with it stands in double quotes.
//!
//! # Examples
//! An address for the inside, and another for everyone else:
//! ```corefile
//! example.org {
//!     view inside {
//!         expr incidr(client_ip(), '10.0.0.0/8') || incidr(client_ip(), 'fd00::/8')
//!     }
//!     hosts {
//!         10.0.0.80 www.example.org
//!     }
//! }
//!
//! example.org {
//!     hosts {
//!         192.0.2.80 www.example.org
//!     }
//! }
//! ```
//! Addresses from one upstream, and the rest from another:
//! ```corefile
//! . {
//!     view addresses {
//!         expr "type() in ['A', 'AAAA'] and none(['.test.', '.invalid.'], name() endsWith #)"
//!     }
//!     forward . 192.0.2.1
//! }
//!
//! . {
//!     forward . 192.0.2.2
//! }
//! ```
//!
//! Another server while an office is closed:
//! ```corefile
//! example.org {
//!     view closed {
//!         expr now().Hour() < 6 or now().Weekday().String() in ['Saturday', 'Sunday']
//!     }
//!     forward . 192.0.2.1
//! }
//!
//! example.org {
//!     forward . 192.0.2.2
//! }
//! ```
//!
//! # Metrics
//! None of its own; the label `view` of the others.
//!
//! # See also
//! `metadata`, for labels in expressions; `acl`, which refuses; `dunlin explain --client`, which names the view.

use crate::plugin::expression::{Expression, QUESTION, Scope};
use crate::plugin::{Definition, Directive, Error, Provider, Setup, Subject, View};
use std::sync::Arc;

/// `view`.
pub const DEFINITION: Definition = Definition { directive: "view", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let [name] = directive.args.as_slice() else {
        return Err(setup.arguments(directive, "view NAME { expr EXPRESSION }"));
    };
    let mut expressions = Vec::new();
    for option in directive.options() {
        match option.name.text.as_str() {
            "expr" => expressions.push(expression(setup, option)?),
            _ => return Err(setup.unknown(option, "expr")),
        }
    }
    let view = Arc::new(View::new(name.text.clone(), expressions));
    setup.plan.providers.push(Arc::new(NameOf(view.name.clone())));
    setup.plan.view = Some(view);
    Ok(())
}

/// An expression may stand in several words of a line.
fn expression(setup: &Setup<'_>, option: &Directive) -> Result<Expression, Error> {
    let Some(first) = option.args.first() else { return Err(setup.arguments(option, "expr EXPRESSION")) };
    let text = option.args.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    Expression::condition(&text, &Scope { functions: &[QUESTION], variables: &[] })
        .map_err(|problem| setup.error(first, format!("expr '{text}': {problem}")))
}

/// The label `view/name`.
struct NameOf(String);

impl Provider for NameOf {
    fn label(&self, label: &str, _: &Subject) -> Option<String> {
        (label == "view/name").then(|| self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn a_view_has_a_name_and_conditions() {
        for lines in [
            "view a",
            "view a {\n}",
            "view a {\nexpr true\n}",
            "view a {\nexpr type() == 'A' && name() == 'a.test.'\nexpr \"any([1], # == 1)\"\n}",
        ] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, lines).unwrap_or_else(|error| panic!("{lines}: {error}"));
            let parts = bench.done();
            assert_eq!(parts.plan.view_name(), "a");
            let subject = Subject { name: crate::wire::Name::root(), client: ([127, 0, 0, 1], 5).into() };
            assert_eq!(parts.plan.providers[0].label("view/name", &subject).as_deref(), Some("a"));
            assert_eq!(parts.plan.providers[0].label("view/names", &subject), None);
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("view", "expected: view NAME"),
                ("view a b", "expected: view NAME"),
                ("view a {\nexpr\n}", "expected: expr EXPRESSION"),
                ("view a {\nexpression true\n}", "unknown property 'expression'"),
                ("view a\nview b", "once"),
                ("view a {\nexpr type() == 1\n}", "Corefile:3"),
                ("view a {\nexpr type() == 1\n}", "column 8: '==' stands between a string and an integer"),
                ("view a {\nexpr name()\n}", "the value is a string; expected true or false"),
                ("view a {\nexpr client() == ''\n}", "the function 'client' is not known; expected one of: type, name"),
                ("view a {\nexpr type == 'A'\n}", "it is a function: type()"),
                ("view a {\nexpr incidr(client_ip(), '10.0.0.0')\n}", "column 21: incidr: '10.0.0.0' is no network"),
                ("view a {\nexpr incidr(client_ip(), '10.0.0.0/33')\n}", "expecting 0 to 32"),
                ("view a {\nexpr name() matches '('\n}", "is no pattern"),
                ("view a {\nexpr (true\n}", "the end is unexpected; expected ')'"),
            ],
        );
    }
}
