//! The program: flags in, exit code out.

use std::process::ExitCode;

/// Every byte that a relist frees goes back: glibc's allocator, linked statically, keeps its arenas.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = dunlin::commands::run(&words) {
        return code;
    }
    let names = dunlin::plugins::directives();
    match dunlin::cli::parse(words, &names) {
        Ok(invocation) => dunlin::server::run(&invocation),
        Err(stop) => stop.print(),
    }
}
