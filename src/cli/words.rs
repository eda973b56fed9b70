//! The command line's own words for what the admin API says: a flag where it names a member of a
//! body, a command where it names a route.
//! Must never hide what was said: what has no word here stays as it is.

use clap::{ArgMatches, Command};

/// What can be typed with the command that runs: its flags, and its arguments by place.
pub(super) struct Typed {
    flags: Vec<String>,
    places: Vec<String>,
}

/// What the API says, and what that is here.
const SENTENCES: [(&str, &str); 6] = [
    ("see /api/v1/admin/providers", "see `sealgate provider list`"),
    ("to disable, send active: false", "to stop it now, run `sealgate secret disable`"),
    ("to revoke, send active: false", "to stop it now, run `sealgate client revoke`"),
    ("is not a member of this request", "is not known to that server, which may be an older one"),
    ("One member is wrong.", "One value is wrong."),
    ("/openapi.json lists all", "that server may be an older one"),
];

/// Members whose flag or argument has another name.
const OTHERWISE: [(&str, &str); 3] =
    [("url", "path"), ("allowed_ips", "allow-ip"), ("allowed_origins", "allow-origin")];

impl Typed {
    pub(super) fn of(root: &Command, matches: &ArgMatches) -> Self {
        let (mut command, mut matches) = (root, matches);
        while let Some((name, below)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else { break };
            (command, matches) = (found, below);
        }
        let flags = command.get_arguments().filter_map(|argument| argument.get_long());
        let flags = flags.map(str::to_owned).collect();
        let places = command.get_positionals().map(|place| place.get_id().to_string()).collect();
        Self { flags, places }
    }

    /// `scopes[1]` is `--scope`, `expires_at` is `--expires-at`, `provider` is PROVIDER.
    pub(super) fn name_of(&self, member: &str) -> String {
        let (name, _) = member.split_once('[').unwrap_or((member, ""));
        if let Some(field) = name.strip_prefix("fields.") {
            return format!("the field {field}");
        }
        let (name, _) = name.split_once('.').unwrap_or((name, ""));
        let typed = OTHERWISE.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let is_typed =
            |typed: &&str| self.flags.iter().chain(&self.places).any(|known| known == typed);
        let name = typed.filter(is_typed).unwrap_or(name);
        if self.places.iter().any(|place| place == name) {
            return name.to_uppercase();
        }
        let dashed = name.replace('_', "-");
        let single = dashed.strip_suffix('s').unwrap_or(&dashed).to_owned();
        let forms = [dashed.clone(), single, format!("{dashed}-file")];
        if let Some(flag) = forms.iter().find(|form| self.flags.contains(form)) {
            return format!("--{flag}");
        }
        member.to_owned()
    }
}

pub(super) fn sentence(said: &str) -> String {
    SENTENCES.iter().fold(said.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn typed(words: &[&str]) -> Typed {
        let matches = Cli::command().try_get_matches_from(words).unwrap();
        Typed::of(&Cli::command(), &matches)
    }

    #[test]
    fn members_are_called_as_they_are_typed() {
        let backup = typed(&["sealgate", "backup", "create", "--to", "x"]);
        assert_eq!(backup.name_of("passphrase"), "--passphrase-file");
        assert_eq!(backup.name_of("recipients"), "--recipient");
        let rotate = typed(&["sealgate", "master-key", "rotate"]);
        assert_eq!(rotate.name_of("passphrase"), "--passphrase");
        let secret = typed(&["sealgate", "secret", "add", "polygon"]);
        assert_eq!(secret.name_of("provider"), "PROVIDER");
        assert_eq!(secret.name_of("fields.api_key"), "the field api_key");
        let client = typed(&["sealgate", "client", "create", "x"]);
        assert_eq!(client.name_of("scopes[2]"), "--scope");
        assert_eq!(client.name_of("allowed_ips[0]"), "--allow-ip");
        assert_eq!(client.name_of("allowed_origins[1]"), "--allow-origin");
        let explain = typed(&["sealgate", "client", "explain", "x", "GET", "/a/../b"]);
        assert_eq!(explain.name_of("url"), "PATH");
        assert_eq!(explain.name_of("address"), "--address");
        assert_eq!(client.name_of("unheard_of"), "unheard_of");
    }

    #[test]
    fn routes_are_called_as_they_are_typed() {
        let said = "is not in the catalogue; see /api/v1/admin/providers";
        assert_eq!(sentence(said), "is not in the catalogue; see `sealgate provider list`");
    }
}
