//! The program: what ends the process is here alone.
//! Everything else is in the library.
//! Must never hold logic.

fn main() -> std::process::ExitCode {
    sealgate::cli::main()
}
