//! The binary: argv to exit code.

fn main() -> std::process::ExitCode {
    kvmdesk::cli::main()
}
