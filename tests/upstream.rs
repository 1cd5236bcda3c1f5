//! The tests' upstream answers as the one did that CoreDNS's answers were recorded with.

mod support;

use support::{Client, Question, Upstream};

#[test]
fn the_upstream_answers_as_recorded() {
    let upstream = Upstream::start();
    let recorded = support::read("tests/data/conformance/variants/plain/answers.jsonl");
    let recorded: Vec<serde_json::Value> =
        recorded.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outside = ["example.com. ", "com. ", "local. ", ". "];
    let forwarded: Vec<_> = recorded
        .iter()
        .filter(|answer| {
            let question = answer["q"].as_str().unwrap_or_default();
            outside.iter().any(|tail| question.starts_with(tail)) || question.contains(".example.com. ")
        })
        .collect();
    assert_eq!(forwarded.len(), 100, "questions that are forwarded");
    let questions: Vec<_> =
        forwarded.iter().map(|answer| Question::parse(answer["q"].as_str().unwrap()).unwrap()).collect();
    for (expected, got) in forwarded.iter().zip(Client::new(upstream.address).ask_all(&questions)) {
        let got = got.unwrap_or_else(|why| panic!("{}: {why}", expected["q"]));
        let tc = got.has("TC");
        assert_eq!(expected["rcode"], got.rcode, "{}", expected["q"]);
        assert_eq!(expected["flags"], got.flags.join(" "), "{}", expected["q"]);
        for (section, records) in
            [("answer", &got.answer), ("authority", &got.authority), ("additional", &got.additional)]
        {
            assert!(tc || expected[section] == serde_json::json!(records), "{} {section}: {records:?}", expected["q"]);
        }
    }
}
