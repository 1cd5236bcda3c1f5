//! Corefiles, each taken or refused: `loads*.txt` holds them, `=== taken NAME` or `=== refused NAME` before each.

use super::support::{Scratch, free_port, read, repository, wait_until};
use super::{FOLDER, Recorded, Tally, names, recorded_program};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[test]
fn corefiles_are_taken_or_refused_as_recorded() {
    let names = names(".loads");
    let mut tally = Tally::new();
    for file in &names {
        let path = format!("{FOLDER}/{file}.loads");
        let cases = cases(&read(&path));
        if let Some(program) = recorded_program() {
            let text: String = cases
                .iter()
                .map(|(_, name, text)| format!("=== {} {name}\n{text}", recorded(&program, text)))
                .collect();
            std::fs::write(repository(&path), text).expect("written");
            continue;
        }
        for (verdict, name, text) in &cases {
            let scratch = place(text, 1053);
            let checked = dunlin::server::check(&scratch.path().join("Corefile"));
            let said = match &checked {
                Ok(_) => String::new(),
                Err(errors) => errors.iter().map(|error| format!("\n    {error}")).collect(),
            };
            let ours = if checked.is_ok() { "taken" } else { "refused" };
            let before = tally.wrong.len();
            tally.add(&format!("{file}: {name}"), verdict, ours);
            if let Some(wrong) = tally.wrong.get_mut(before) {
                *wrong += &said;
            }
        }
    }
    if recorded_program().is_none() {
        tally.report("differential loads", &names);
    }
}

/// Verdict, name and text of each Corefile.
fn cases(text: &str) -> Vec<(String, String, String)> {
    let cases = text.split("=== ").skip(1).map(|case| {
        let (head, text) = case.split_once('\n').expect("a Corefile below its name");
        let (verdict, name) = head.split_once(' ').expect("a verdict and a name");
        (verdict.to_owned(), name.to_owned(), text.to_owned())
    });
    cases.collect()
}

/// A folder with this Corefile; the files that it names are below `{$FILES}`.
fn place(text: &str, port: u16) -> Scratch {
    let scratch = Scratch::new();
    // What an editor would not keep stands as an escape.
    let files = repository(FOLDER).join("files").display().to_string();
    let text = text.replace("{$FILES}", &files).replace("{$PORT}", &port.to_string());
    let text = text.replace("\\r\n", "\r\n").replace("\\ufeff", "\u{feff}");
    scratch.write("Corefile", &text);
    scratch
}

fn recorded(program: &str, text: &str) -> &'static str {
    let port = free_port();
    let scratch = place(text, port);
    let mut running = Recorded::start(program, &scratch.path().join("Corefile"), &[]);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut ended = false;
    wait_until(Duration::from_secs(8), || {
        ended = running.0.try_wait().is_ok_and(|status| status.is_some());
        ended || TcpStream::connect(address).is_ok()
    });
    if ended { "refused" } else { "taken" }
}
