//! The command `counterweight`: parse, run, print the error, return the exit code; nothing else.

mod cli;
mod commands;

fn main() -> std::process::ExitCode {
    cli::run()
}
