//! Templates and what they are filled to, and what is refused of them while they are filled.

use super::*;

/// As deep as may be, with as much as may be in each: the stack of a thread of the slow lane has room for it.
#[test]
fn the_deepest_template_fits() {
    let request = request(query("a.test", RecordType::A));
    let scope = Scope::new(&request, (1, RecordType::A), "test.", None, Vec::new());
    let (open, close) = ("{{ with (or (and 1)) }}{{ if true }}".repeat(9), "{{ end }}".repeat(18));
    let deepest = format!("{{{{ define `t` }}}}{open}{{{{ template `t` }}}}{close}{{{{ end }}}}{{{{ template `t` }}}}");
    let error = Template::parse(&deepest, &[]).unwrap().fill(&scope).expect_err("it has no end");
    assert_eq!(error, "more than 30 templates stand in each other");
}

#[test]
fn the_language() {
    let mut request = request(query("Ip0A7b.Example", RecordType::A));
    request.client = "[::ffff:10.0.0.9]:53".parse().unwrap();
    let pattern = Regex::new("^ip(?P<a>[0-9a-f]{2})([0-9a-f]{2})[.](?P<none>x)?").unwrap();
    let metadata = crate::plugin::Metadata::new(Vec::new(), subject(&request));
    metadata.note("test/label", || "noted".to_owned());
    request.metadata = metadata;
    let variables = vec![("v".to_owned(), crate::plugin::expression::Value::Integer(5))];
    let scope = Scope::new(&request, (1, RecordType::A), "example.", Some(&pattern), variables);
    let set = ["v".to_owned()];
    for (template, expected) in [
        ("plain", "plain"),
        ("{{.Zone}}|{{ .Name }}|{{.Class}}|{{.Type}}|{{.Remote}}", "example.|ip0a7b.example.|IN|A|10.0.0.9"),
        ("{{ .Question.Name }} {{ .Question.Qtype }} {{ .Question.Qclass }}", "Ip0A7b.Example. 1 1"),
        ("{{ .Message.Id }} {{ .Message.RecursionDesired }} {{ .Message.CheckingDisabled }}", "4660 true false"),
        ("{{ index .Match 0 }} {{ index .Match 1 }} {{ .Group.a }} {{ index .Group \"2\" }}", "ip0a7b. 0a 0a 7b"),
        ("[{{ .Group.none }}{{ .Meta \"kubernetes/client-namespace\" }}]", "[]"),
        ("{{ .Meta \"test/label\" }} {{ .Var.v }}", "noted 5"),
        ("{{ .Group.missing }}|{{ index .Group `missing` }}|{{ index .Group `1` }}", "<no value>||0a"),
        ("{{ .Regex }}", "^ip(?P<a>[0-9a-f]{2})([0-9a-f]{2})[.](?P<none>x)?"),
        ("{{ .Message.Opcode }} {{ .Message.Response }} {{ .Message.AuthenticatedData }}", "0 false false"),
        ("{{ slice .Type 1 }}|{{ slice .Zone 1 3 }}|{{ slice .Match 1 2 }}|{{ index .Type }}", "|xa|[0a]|A"),
        (
            "{{ html `<a&'\"b>` }} {{ urlquery `a b&c` }} {{ js `a'b<` }}",
            "&lt;a&amp;&#39;&#34;b&gt; a+b%26c a\\'b\\u003C",
        ),
        ("{{ println .Type 1 }}", "A 1\n"),
        ("{{ 0x1F }} {{ 017 }} {{ 0b11 }} {{ 1_000 }} {{ -4 }} {{ +5 }}", "31 15 3 1000 -4 5"),
        ("{{ range $i, $m := .Match }}{{ if eq $i 2 }}{{ break }}{{ end }}{{ $m }}{{ end }}", "ip0a7b.0a"),
        (
            "{{ range .Match }}{{ with . }}{{ if eq . `0a` }}{{ continue }}{{ end }}<{{ . }}>{{ end }}{{ end }}",
            "<ip0a7b.><7b>",
        ),
        ("{{ parseInt .Group.a 16 8 }}.{{ parseInt \"7b\" 16 8 }}", "10.123"),
        ("{{ .Group.a | len }} {{ len .Match }}", "2 4"),
        ("{{ printf \"%03d-%x-%s-%%-%5s\" (parseInt .Group.a 16 8) 255 .Type \"x\" }}", "010-ff-A-%-    x"),
        ("{{ $x := parseInt .Group.a 16 0 }}{{ $x }}{{ $x = 3 }}{{ $x }}", "103"),
        ("a  {{- /* nothing */ -}}  b {{- 1 -}} c", "ab1c"),
        ("{{ if eq .Type \"A\" \"B\" }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if eq .Type \"AAAA\" }}6{{ else if eq .Type \"A\" }}4{{ else }}?{{ end }}", "4"),
        ("{{ if and (gt 2 1) (not (lt 2 1)) }}y{{ end }}{{ if or false .Group.none }}n{{ end }}", "y"),
        ("{{ range .Match }}<{{ . }}>{{ end }}", "<ip0a7b.><0a><7b><>"),
        ("{{ range $i, $m := .Match }}{{ if gt $i 0 }}.{{ end }}{{ $m }}{{ $.Type }}{{ end }}", "ip0a7b.A.0aA.7bA.A"),
        ("{{ range $key, $value := .Group }}{{ $key }}={{ $value }} {{ end }}", "0=ip0a7b. 1=0a 2=7b 3= a=0a none= "),
        ("{{ range 3 }}{{ . }}{{ end }}{{ range 0 }}x{{ else }}none{{ end }}", "012none"),
        ("{{ $n := 0 }}{{ range .Match }}{{ $n = len . }}{{ $m := 1 }}{{ end }}{{ $n }}", "0"),
        ("{{ with .Group.a }}{{ . }}{{ $.Name }}{{ else }}no{{ end }}", "0aip0a7b.example."),
        ("{{ with $g := .Group.none }}{{ $g }}{{ else }}{{ .Type }}{{ end }}", "A"),
        ("{{ with $.Meta \"test/label\" }}{{ . }}{{ end }}{{ with .Group }}{{ .a }}{{ end }}", "noted0a"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
        ("{{ print .Type 1 2 `raw` }}", "A1 2raw"),
        ("{{ \"}}\" }}{{ \"\\t\" }}", "}}\t"),
        (
            "{{ 1.5 }} {{ -2.50 }} {{ .5 }} {{ 1e3 }} {{ 1e7 }} {{ printf `%.2f|%d` 0.125 7 }}",
            "1.5 -2.5 0.5 1000 1e+07 0.12|7",
        ),
        ("{{ lt 1.5 2.5 }}{{ eq 1.0 1.0 }}{{ if 0.0 }}x{{ end }}{{ print 1.5 2 `a` }}", "truetrue1.5 2a"),
        (
            "{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" .Type }}{{ template `t` 5 }}{{ template `t` }}",
            "[A][5][<no value>]",
        ),
        (
            "{{ template `t` . }}{{ define `t` }}{{ .Name }}{{ $.Type }}{{ .Meta `test/label` }}{{ end }}",
            "ip0a7b.example.Anoted",
        ),
        (
            "{{ define `t` }}{{ .a }}{{ $.a }}{{ end }}{{ template `t` .Group }}{{ with .Type }}{{ template `t` $.Group }}{{ end }}",
            "0a0a0a0a",
        ),
        (
            "{{ $x := 1 }}{{ block `b` .Group.a }}{{ $x := 2 }}<{{ . }}{{ $x }}>{{ end }}{{ $x }}{{ template `b` `z` }}",
            "<0a2>1<z2>",
        ),
        ("{{ range 2 }}{{ block `b` . }}{{ range 2 }}{{ if $ }}{{ break }}{{ end }}x{{ end }}{{ end }}{{ end }}", "xx"),
        (
            "{{ define `d` }}{{ if . }}{{ len . }}{{ template `d` (slice . 1) }}{{ end }}{{ end }}{{ template `d` `abc` }}",
            "321",
        ),
        ("{{ define `d` }} {{ end }}{{ define `d` }}x{{ end }}{{ define `d` }} {{ end }}{{ template `d` }}", "x"),
        (
            "{{ define `t` }}{{ .x.y }}{{ end }}{{ template `t` }}{{ with $ }}{{ .Type }}{{ .Group.a }}{{ end }}",
            "<no value>A0a",
        ),
    ] {
        let parsed = Template::parse(template, &set).unwrap_or_else(|why| panic!("{template}: {why}"));
        assert_eq!(parsed.fill(&scope).as_deref(), Ok(expected), "{template}");
    }
    for (template, why) in [
        ("{{ parseInt .Group.a 10 8 }}", "no number"),
        ("{{ parseInt \"fff\" 16 8 }}", "out of range"),
        ("{{ index .Match 9 }}", "out of range"),
        ("{{ eq 1 \"1\" }}", "incompatible"),
        ("{{ len 5 }}", "wrong kind"),
        ("{{ slice .Type 2 }}", "out of range"),
        ("{{ slice .Type 1 0 }}", "is no part"),
        ("{{ range .Type }}{{ end }}", "can't iterate over A"),
        ("{{ range 1001 }}{{ end }}", "can't iterate over 1001"),
        ("{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}", "more than 10000 turns"),
        ("{{ range 1000 }}{{ printf `%99d` . }}{{ end }}", "longer than 70000 octets"),
        ("{{ range .Match }}{{ .Name }}{{ end }}", "can't evaluate field Name"),
        ("{{ define `t` }}{{ . }}{{ end }}{{ template `t` . }}", "all of the data is no text"),
        ("{{ define `t` }}{{ len . }}{{ end }}{{ template `t` . }}", "all of the data is no value"),
        ("{{ define `t` }}{{ .Nam }}{{ end }}{{ template `t` . }}", "can't evaluate field Nam"),
        (
            "{{ define `t` }}{{ template `t` . }}{{ end }}{{ template `t` . }}",
            "more than 30 templates stand in each other",
        ),
        (
            "{{ define `t` }}{{ end }}{{ range 1000 }}{{ range 9 }}{{ template `t` }}{{ end }}{{ end }}",
            "more than 10000 turns",
        ),
        ("{{ eq 1 1.0 }}", "incompatible"),
    ] {
        let error = Template::parse(template, &set).unwrap().fill(&scope).expect_err(template);
        assert!(error.contains(why), "{template}: {error}");
    }
}
