//! The program. Everything is in the library; what ends the process is here alone.

fn main() -> std::process::ExitCode {
    sealgate::cli::main()
}
