//! What can be typed and what cannot, without running it.
//! The words of the contract are here, so that none is lost or renamed.
//! Must never start a server.

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_whole_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_trip_parses() {
    let lines = [
        "sealgate serve",
        "sealgate serve --sandbox",
        "sealgate --config x.toml serve",
        "sealgate serve --config x.toml",
        "sealgate init --json",
        "sealgate doctor --json --config x.toml",
        "sealgate healthcheck",
        "sealgate config show --json",
        "sealgate config example",
        "sealgate openapi",
        "sealgate completions zsh",
        "sealgate client create alice",
        "sealgate client create --name alice --role guest --tier limited --json",
        "sealgate client create a --scope polygon:GET:/** --scope !polygon:GET:/x --limit 5",
        "sealgate client create a --secret polygon=default --allow-ip 10.0.0.0/8",
        "sealgate client list --url https://gate.example",
        "sealgate client show 0198",
        "sealgate client set 0198 --tier premium --clear expires_at",
        "sealgate client revoke 0198",
        "sealgate client restore 0198",
        "sealgate client rotate 0198 --overlap-seconds 0",
        "sealgate client delete 0198",
        "sealgate client import keys.csv --json",
        "sealgate client import -",
        "sealgate client explain 0198 GET /polygon/v2/aggs --address 10.0.0.1",
        "sealgate secret add polygon --name default --no-validate",
        "sealgate secret list --json",
        "sealgate secret show polygon/default",
        "sealgate secret set polygon --active true",
        "sealgate secret set polygon/default --rename backup",
        "sealgate secret validate polygon/default --json",
        "sealgate secret disable polygon --name backup",
        "sealgate secret destroy polygon --yes",
        "sealgate report hygiene --format html --output x.html --idle-days 60",
        "sealgate report hygiene --json --from 2026-01-01T00:00:00Z --client a --provider polygon",
        "sealgate report usage --client a --format csv",
        "sealgate report security --output x.html",
        "sealgate provider list",
        "sealgate provider show polygon --json",
        "sealgate audit tail -n 5 --follow",
        "sealgate audit query --kind usage --status 200 --limit 7",
        "sealgate audit verify --json",
        "sealgate audit verify --offline trail.ndjson --public-key abc --checkpoints pushed",
        "sealgate audit export --output trail.ndjson --resume --from 2026-01-01T00:00:00Z",
        "sealgate audit export --format csv --kind usage",
        "sealgate usage --bucket day --group-by provider --from 2026-01-01T00:00:00Z",
        "sealgate seal",
        "sealgate unseal --json",
        "sealgate unseal --passphrase --url https://gate.example",
    ];
    for line in lines {
        assert!(parsed(line).is_ok(), "{line}: {}", parsed(line).err().unwrap());
    }
}

#[test]
fn what_is_not_understood_is_wrong_usage() {
    let lines = [
        "sealgate",
        "sealgate serv",
        "sealgate client create",
        "sealgate client create a --name b",
        "sealgate secret set polygon --active maybe",
        "sealgate completions tea",
        "sealgate audit tail -n lots",
    ];
    for line in lines {
        let error = parsed(line).err().unwrap_or_else(|| panic!("accepted: {line}"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for line in ["sealgate --help", "sealgate --version", "sealgate client create --help"] {
        assert_eq!(parsed(line).err().map(|error| error.exit_code()), Some(0), "{line}");
    }
}

#[test]
fn a_secret_among_the_arguments_is_refused_with_the_reason_and_not_repeated() {
    let lines = [
        "sealgate secret add polygon sk-canary",
        "sealgate secret add polygon --name x sk-canary",
        "sealgate secret add polygon --api-key sk-canary",
        "sealgate secret add polygon --value=sk-canary",
        "sealgate secret add polygon api_key=sk-canary",
        "sealgate secret rotate polygon sk-canary",
    ];
    for line in lines {
        let failure = run(line.split_whitespace().map(Into::into)).unwrap_err();
        assert!(failure.is_usage(), "{line}");
        assert!(failure.line().starts_with("a secret's value is never taken"), "{line}");
        assert!(!failure.line().contains("canary"), "{line}");
    }
}

#[test]
fn what_stands_behind_any_command_is_refused_and_not_repeated() {
    let lines = [
        "sealgate secret set polygon sk-canary",
        "sealgate secret set polygon --active true sk-canary",
        "sealgate secret show polygon sk-canary",
        "sealgate secret validate polygon sk-canary",
        "sealgate secret destroy polygon sk-canary",
        "sealgate secret accept sk-canary",
        "sealgate secret sk-canary",
        "sealgate unseal sk-canary",
        "sealgate unseal --passphrase sk-canary",
        "sealgate unseal --passphrase=sk-canary",
        "sealgate master-key rotate sk-canary",
        "sealgate master-key rotate --passphrase=sk-canary",
        "sealgate init sk-canary",
        "sealgate serve sk-canary",
        "sealgate backup create --to x sk-canary",
        "sealgate backup verify x sk-canary",
        "sealgate kek rotate sk-canary",
        "sealgate sk-canary",
    ];
    for line in lines {
        let failure = run(line.split_whitespace().map(Into::into)).unwrap_err();
        assert!(failure.is_usage(), "{line}");
        assert!(!failure.line().contains("canary"), "{line}: {}", failure.line());
        assert!(failure.line().contains("may be a secret"), "{line}: {}", failure.line());
    }
}
