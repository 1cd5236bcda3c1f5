use super::*;
use crate::wire::{NameBuffer, Query, Transport};
use std::net::SocketAddr;

/// Evaluates for `WWW.Example.org. AAAA`, id 0x1234, from 10.1.2.3:40000 to [fd00::a]:53.
fn evaluate(text: &str) -> Result<String, String> {
    let expression = Expression::new(text, &SCOPE).map_err(|problem| problem.to_string())?;
    let packet =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03WWW\x07Example\x03org\0\0\x1c\0\x01\0\0\x29\x10\0\0\0\x80\0\0\0";
    let mut buffer = NameBuffer::default();
    let query = Query::parse(packet, &mut buffer).map_err(|why| format!("{why:?}"))?;
    let client: SocketAddr = ([10, 1, 2, 3], 40000).into();
    let local: SocketAddr = "[fd00::a]:53".parse().map_err(|_| "no address")?;
    let metadata = |label: &str| if label == "test/label" { "value".to_owned() } else { String::new() };
    let asked = Asked { query: &query, client, local: Some(local), transport: Transport::Udp, metadata: &metadata };
    expression.evaluate(&asked).map(|value| value.to_string())
}

const SCOPE: Scope<'static> = Scope { functions: &[QUESTION], variables: &[] };

#[test]
fn the_language() {
    let table = [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("7 % 4 - -1", "4"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ** 2", "-4"),
        ("0x1F + 0b11 + 0o7 + 1_000", "1041"),
        ("1.5e1 + .5", "15.5"),
        ("1 == 1.0 and 'a' != 'b'", "true"),
        ("1 < 2 && 'a' <= 'a' && 3 >= 2.5 && 'b' > 'a'", "true"),
        ("true or 1 / 0 > 1", "true"),
        ("not true or !false", "true"),
        ("not (1 in [1, 2])", "false"),
        ("3 not in [1, 2]", "true"),
        ("3 in 1..3", "true"),
        ("'a' in {a: 1, 'b': 2} and {a: 1}.a == 1", "true"),
        ("'foobar' contains 'ob' and 'foobar' startsWith 'foo' and 'foobar' endsWith 'bar'", "true"),
        ("'foobar' not contains 'x'", "true"),
        ("'a.test.' matches '^a\\\\.test\\\\.$'", "true"),
        ("'a.test.' matches `^a\\.test\\.$`", "true"),
        ("'ab' matches 'a' + 'b'", "true"),
        ("'\\x41\\u00e9\\n' == \"A\u{e9}\\n\"", "true"),
        ("1 > 2 ? 'a' : 2 > 1 ? 'b' : 'c'", "b"),
        ("nil ?? 'x'", "x"),
        ("{a: nil}.a?.b ?? 'none'", "none"),
        ("[1, [2, 3]][1][0]", "2"),
        ("[1, 2, 3][-1]", "3"),
        ("[1, 2, 3, 4][1:3]", "[2 3]"),
        ("'abcd'[:2] + 'abcd'[-1]", "abd"),
        ("let x = 2; let y = x * 3; x + y", "8"),
        ("' Ab ' | trim() | lower()", "ab"),
        ("len('h\u{e9}') + len([1, 2]) + len({a: 1})", "5"),
        ("upper('a') + trim('xax', 'x') + trimPrefix('pre', 'p') + trimSuffix('fix', 'x')", "Aarefi"),
        ("join(split('a,b,c', ','), '-')", "a-b-c"),
        ("split('a,b,c', ',', 2)", "[a b,c]"),
        ("replace('10-0-0-1', '-', '.')", "10.0.0.1"),
        ("repeat('ab', 2)", "abab"),
        ("indexOf('abab', 'b') + lastIndexOf('abab', 'b') + indexOf('a', 'x')", "3"),
        ("hasPrefix('ab', 'a') and hasSuffix('ab', 'b')", "true"),
        ("int('12') + float('0.5') + abs(-1) + ceil(1.2) + floor(1.8) + round(1.5)", "18.5"),
        ("string(12) + string(true)", "12true"),
        ("min(3, 1, 2) + max([3, 1, 2])", "4"),
        ("mean([1, 2])", "1.5"),
        ("first([1, 2]) + last([1, 2])", "3"),
        ("first([])", "<nil>"),
        ("take(reverse([1, 2, 3]), 2)", "[3 2]"),
        ("concat([1], [2, 2]) | uniq() | sort()", "[1 2]"),
        ("flatten([1, [2, [3]]])", "[1 2 3]"),
        ("keys({b: 1, a: 2})", "[a b]"),
        ("values({b: 1, a: 2})", "[2 1]"),
        ("get({a: 1}, 'b') ?? get([1], 5) ?? 'no'", "no"),
        ("bitand(6, 3) + bitor(6, 3) + bitxor(6, 3) + bitshl(1, 3) + bitshr(8, 2)", "24"),
        ("all([1, 2], # > 0) and any([1, 2], {# > 1}) and one([1, 2], # == 1) and none([1, 2], # > 2)", "true"),
        ("map(filter([1, 2, 3], # % 2 == 1), # * 10)", "[10 30]"),
        ("find([1, 2, 3], # > 1) + findIndex([1, 2], # == 2) + findLast([1, 2], # > 0)", "5"),
        ("findLastIndex([1, 1], # == 1) + count([1, 2], # > 1) + count([true, false]) + sum([1, 2])", "6"),
        ("sum([{n: 1}, {n: 2}], .n)", "3"),
        ("findIndex([1], # > 1) ?? findLastIndex([1], # > 1) ?? 'none'", "none"),
        ("reduce([1, 2, 3], # + #acc) + reduce([1, 2], #acc * 10 + #, 5) + reduce([7, 7], #acc + #index, 0)", "519"),
        ("groupBy(['a', 'bb', 'cc'], len(#))", "map[1:[a] 2:[bb cc]]"),
        ("sortBy([{n: 2}, {n: 1}], .n) | map(.n)", "[1 2]"),
        ("sortBy([1, 3, 2], #, 'desc') | concat(sort([1, 3, 2], 'desc'))", "[3 2 1 3 2 1]"),
        ("map(['a', 'b'], #index)", "[0 1]"),
        ("1..3 | sum()", "6"),
        ("splitAfter('a,b,c', ',', 2) | concat(splitAfter('a,b', ','))", "[a, b,c a, b]"),
        ("fromPairs(toPairs({a: 1})) == {a: 1}", "true"),
        ("toJSON({a: [1, 'x<', true, nil]})", "{\n  \"a\": [\n    1,\n    \"x\\u003c\",\n    true,\n    null\n  ]\n}"),
        ("fromJSON('{\"a\": [1, \"x\"]}').a[1] + toBase64('hello') + fromBase64('aGk=')", "xaGVsbG8=hi"),
        ("[mean(1, 2), median([1, 3, 2]), median(1, 2, 3, 4), max([]), min([2, 1], 3)]", "[1.5 2 2.5 <nil> 1]"),
        ("[bitnand(12, 10), bitnot(5), bitushr(-5, 60)]", "[4 -6 15]"),
        (
            "[1e21, 1e6, 100000.0, 0.0001, 0.00001, 1/0, 123456789.125]",
            "[1e+21 1e+06 100000 0.0001 1e-05 +Inf 1.23456789125e+08]",
        ),
        ("if 1 > 2 { 'a' } else if true { let x = 'b'; x } else { 'c' }", "b"),
        ("true ?: false", "true"),
        ("upper('stra\u{df}e')", "STRA\u{df}E"),
        ("any([[1, 2], [3]], any(#, # == 3))", "true"),
        ("1 /* one */ + 1 // two", "2"),
        ("9223372036854775807 + 1 < 0", "true"),
        ("bitshl(1, 100)", "0"),
    ];
    for (text, expected) in table {
        assert_eq!(evaluate(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn the_query() {
    let table = [
        ("type()", "AAAA"),
        ("name()", "www.example.org."),
        ("class()", "IN"),
        ("proto()", "udp"),
        ("size()", "44"),
        ("client_ip()", "10.1.2.3"),
        ("port()", "40000"),
        ("id()", "4660"),
        ("opcode()", "0"),
        ("do()", "true"),
        ("bufsize()", "4096"),
        ("server_ip()", "fd00::a"),
        ("server_port()", "53"),
        ("incidr(client_ip(), '10.0.0.0/8')", "true"),
        ("incidr(client_ip(), '11.0.0.0/8')", "false"),
        ("incidr(client_ip(), '0.0.0.0/0')", "true"),
        ("incidr(client_ip(), 'fd00::/8')", "false"),
        ("incidr('[fd00::1]', 'fd00::/8')", "true"),
        ("incidr(server_ip(), '::/0')", "true"),
        ("metadata('test/label')", "value"),
        ("metadata('other/label') == ''", "true"),
    ];
    for (text, expected) in table {
        assert_eq!(evaluate(text).as_deref(), Ok(expected), "{text}");
    }
}

/// Half past three in the night to Tuesday, and a zone that changes its clocks as central Europe's do.
struct Night;

impl Facts for Night {
    fn call(&self, function: &str, _: &[Value]) -> Result<Value, String> {
        Err(format!("{function} is not known"))
    }

    fn variable(&self, _: &str) -> Value {
        time::Zone::ruled("CET-1CEST,M3.5.0,M10.5.0/3").into()
    }

    fn now(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_691_976_600)
    }
}

#[test]
fn times() {
    let table = [
        ("now(timezone('UTC'))", "2023-08-14 01:30:00 +0000 UTC"),
        ("now(berlin)", "2023-08-14 03:30:00 +0200 CEST"),
        ("now(berlin).Hour() in 2..5 and now(berlin).IsDST()", "true"),
        ("now() == now() and now() - date('2023-08-14') == duration('1h30m')", "true"),
        ("now().In(berlin).Weekday()", "Monday"),
        ("int(now(berlin).Weekday()) * 100 + int(now(berlin).Month())", "108"),
        ("now(berlin).UTC().Location() == timezone('') and now(berlin).Zone() == 'CEST'", "true"),
        ("date(berlin, '2023-01-14')", "2023-01-14 00:00:00 +0100 CET"),
        ("date(berlin, '14/8/2023', '2/1/2006').UTC()", "2023-08-13 22:00:00 +0000 UTC"),
        ("date(berlin, '2023-03-26 02:30:00')", "2023-03-26 03:30:00 +0200 CEST"),
        ("date(berlin, '2023-10-29 02:30:00')", "2023-10-29 02:30:00 +0100 CET"),
        ("date(berlin, '14 Aug 23 10:11 CEST')", "2023-08-14 10:11:00 +0200 CEST"),
        ("date(berlin, '14 Aug 23 10:11 CET').UTC()", "2023-08-14 09:11:00 +0000 UTC"),
        ("date(berlin, '29 Oct 23 02:30 CEST').UTC()", "2023-10-29 00:30:00 +0000 UTC"),
        ("date(berlin, '14 Aug 23 10:11 MST')", "2023-08-14 10:11:00 +0000 MST"),
        ("date(berlin, '2023-08-14T10:11:12+02:00')", "2023-08-14 10:11:12 +0200 CEST"),
        ("date('14 Aug 23 10:11 GMT+3')", "2023-08-14 13:11:00 +0300 GMT+3"),
        ("now(berlin).AddDate(0, 3, 0).Format('Z07:00 MST')", "+01:00 CET"),
        ("date('2024-01-31', '2006-01-02', 'UTC').AddDate(0, 1, 0).Format('2 Jan')", "2 Mar"),
        ("date('9999-12-31') > now() and date('9999-12-31').In(berlin).Year() == 9999", "true"),
        ("date('0000-01-01').Truncate(duration('24h')).Year()", "0"),
        ("date('2023-08-14').Local().Equal(date('2023-08-14'))", "true"),
        ("{a: nil}.a?.Year() ?? 'none'", "none"),
        (
            "toJSON([date('2023-08-14T10:11:12.5+02:00'), duration('1us'), now().Month(), now().Location()])",
            "[\n  \"2023-08-14T10:11:12.5+02:00\",\n  1000,\n  8,\n  {}\n]",
        ),
        ("sum([date('2023-08-14')], #.Sub(date('2023-08-13'))).Hours()", "24"),
        ("max(duration('1h'), duration('2h')).Minutes()", "120"),
        ("duration('-2540400h10m10.000000000s')", "-2540400h10m10s"),
    ];
    let scope = Scope { functions: &[], variables: &[("berlin".to_owned(), Kind::Zone)] };
    for (text, expected) in table {
        let expression = Expression::new(text, &scope).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        let value = expression.evaluate(&Night).map(|value| value.to_string());
        assert_eq!(value.as_deref(), Ok(expected), "{text}");
    }
}

/// A name of the tz database means its files; machines without them know only `UTC` and `Local`.
#[test]
fn zones_of_this_machine() {
    let text = "date('2023-08-14', '2006-01-02', 'Europe/Berlin') == date(timezone('Europe/Berlin'), '2023-08-14')";
    match std::path::Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        true => assert_eq!(evaluate(text).as_deref(), Ok("true")),
        false => assert!(evaluate(text).is_err_and(|why| why.contains("the timezone 'Europe/Berlin' is not known"))),
    }
}

#[test]
fn what_cannot_fit_is_said_at_load_with_its_column() {
    let table = [
        ("", "column 1: the expression ends here; expected a value"),
        ("1 +", "column 4: the expression ends here"),
        ("'a", "column 1: the string is not closed; expected '"),
        ("'\\d'", "'\\d' is no escape; a backslash itself is written \\\\"),
        ("1 2", "column 3: '2' is unexpected; expected an operator or the end"),
        ("\u{e9} == 1", "column 1: '\u{e9}' is not known; expected one of: type"),
        ("type() = 'A'", "column 8: '=' is unexpected"),
        ("@", "column 1: '@' is unexpected"),
        ("99999999999999999999", "is no number of 64 bits"),
        ("[1, 2", "the end is unexpected; expected ','"),
        ("#", "column 1: '#' is unexpected"),
        ("1 + 'a'", "column 3: arithmetic stands between an integer and a string"),
        ("not 1", "column 5: what 'not' turns round is an integer; expected true or false"),
        ("true and 'x'", "column 10: what 'and' joins is a string"),
        ("1 < 'a'", "a comparison stands between"),
        ("'a' in 'abc'", "column 8: 'in' looks into a string; expected an array or a map"),
        ("1 contains 'a'", "expected strings"),
        ("1 ? 2 : 3", "the condition is an integer"),
        ("lower(1)", "column 7: lower: the argument is an integer; expected a string"),
        ("lower()", "lower has 0 arguments; expected 1"),
        ("type('x')", "type has 1 arguments; expected 0"),
        ("nothing()", "the function 'nothing' is not known"),
        ("all(1, true)", "all: the first argument is an integer; expected an array"),
        ("all([1], 2)", "the expression for each element is an integer"),
        ("true.x", "true or false has no members"),
        ("let x 1; x", "expected '='"),
        ("'a' matches '['", "is no pattern"),
        ("1 | 2", "a function is expected behind |"),
        ("date('2023-02-30')", "column 1: '2023-02-30' is no date; expected one such as 2023-08-14"),
        ("date('14.8.', '02.01.')", "column 1: '14.8.' is no date of the layout '02.01.': '8.' does not fit there"),
        ("date('2023-08-14', '2006-01-02', 'utc')", "column 34: the timezone 'utc' is not known; expected a name of"),
        ("duration('1d')", "column 10: '1d' is no duration; expecting numbers with units"),
        ("duration('-+1h')", "column 10: '-+1h' is no duration"),
        ("timezone(name())", "column 10: timezone: expected the name itself, in quotes"),
        ("date('2023-08-14', '2006-01-02', name())", "column 34: date: the argument is a string; expected a timezone"),
        ("now().Month() == 8", "column 15: '==' stands between a month and an integer"),
        ("now().Weekday() in [0, 6]", "column 17: 'in' looks for a weekday where an integer is"),
        ("now().Weekday() in 1..5", "column 17: 'in' looks for a weekday where an integer is"),
        ("now().Week()", "column 6: a time has no method Week; expected one of: Year, Month"),
        ("now().Year", "a time has no members"),
        ("name().Year()", "a string has no method Year"),
        ("now().Add(1)", "column 11: argument 1 of Add is an integer; expected a duration"),
        ("now().AddDate(1)", "AddDate has 1 arguments; expected 3"),
        ("now() + now()", "column 7: arithmetic stands between a time and a time"),
        ("duration('1h') / 2", "column 16: arithmetic stands between a duration and an integer"),
        ("-duration('1h')", "'-' stands before a duration; expected a number"),
    ];
    for (text, expected) in table {
        let problem = evaluate(text).expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    let condition = |text| Expression::condition(text, &SCOPE).err().map(|problem| problem.to_string());
    assert_eq!(condition("id()").as_deref(), Some("column 1: the value is an integer; expected true or false"));
    assert_eq!(condition("get({a: true}, 'a')"), None, "only the query will tell");
}

#[test]
fn what_fails_for_a_query_is_not_true_of_it() {
    for (text, expected) in [
        ("1 % 0", "division by zero"),
        ("[1][5]", "index 5 is out of range"),
        ("int(name())", "is no integer"),
        ("incidr(name(), '10.0.0.0/8')", "is no IP address"),
        ("incidr(client_ip(), name())", "is no network"),
        ("get({a: 1}, 'a') + 'x'", "arithmetic stands between"),
        ("name() matches '(' + ''", "is no pattern"),
        ("repeat('a', -1)", "negative"),
        ("date(name())", "is no date"),
        ("duration(name())", "is no duration"),
        ("first([now()]).Hours()", "there is no such method of a time"),
        ("date('9999-12-31') + duration('24h')", "outside of the years -9999 to 9999"),
        ("now().AddDate(9223372036854775807, 0, 0)", "outside of the years -9999 to 9999"),
    ] {
        let problem = evaluate(text).expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn time_memory_and_depth_are_bounded() {
    for text in [
        "1..1000000000",
        "map(1..150, map(1..150, # + 1))",
        "len(repeat(repeat(repeat('abcdefghijklmnop', 1000), 1000), 1000))",
        "replace(repeat('a', 10000), 'a', repeat('b', 1000))",
        "let a = 1..9000; let b = concat(a, a, a); b",
        "map(1..100, name() matches string(#))",
        "uniq(1..5000)",
        "join(map(1..1000, repeat('x', 10000)))",
        "now().Format(repeat('January', 5000))",
        "date(repeat('1', 20000))",
    ] {
        let problem = evaluate(text).expect_err(text);
        assert!(problem.contains("more than 20000 steps"), "{text}: {problem}");
    }
    for (open, close) in [("(", ")"), ("[", "]"), ("not ", ""), ("-", ""), ("lower(", ")"), ("1 ? 1 : ", "")] {
        let text = format!("{}1{}", open.repeat(500), close.repeat(500));
        let problem = evaluate(&text).expect_err(open);
        assert!(problem.contains("nested more than 64 deep"), "{open}: {problem}");
    }
    assert!(evaluate(&format!("0{}", " + 1".repeat(200))).is_err_and(|why| why.contains("nested more than")));
    assert!(evaluate(&"1 ".repeat(6000)).is_err_and(|why| why.contains("longer than 10000")));
    let many = vec!["name() == 'a.test.'"; 300].join(" || ");
    assert_eq!(evaluate(&many).as_deref(), Ok("false"), "a row of alternatives is not deep");
}

/// Any text at all is read or refused, and what is read evaluates or fails.
#[test]
fn no_text_panics() {
    let parts = [
        "1",
        "'a'",
        "name()",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        ".",
        "..",
        "?",
        "??",
        "?.",
        "#",
        "not",
        "in",
        "and",
        "-",
        "*",
        "**",
        "/",
        "%",
        "|",
        "map(",
        "let",
        "x",
        "=",
        ";",
        "9223372036854775807",
        "len(",
        "nil",
        "\u{e9}",
        "-1",
        "[1,2]",
        "now()",
        "date('0000-01-01')",
        "duration('2562047h')",
        ".Sub(",
        ".AddDate(1,",
        ".Round(",
    ];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..state % 9 + 1 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(parts[(state >> 33) as usize % parts.len()]);
            text.push(' ');
        }
        let _ = evaluate(&text);
    }
}
