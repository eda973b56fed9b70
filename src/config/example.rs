//! The commented settings file of `sealgate config example`, made from the table of settings, so
//! that it can neither miss one nor show a wrong default. It loads as it stands and changes
//! nothing.

use super::kind::Kind;
use super::setting::{OF_A_PROVIDER, SETTINGS, Setting};

/// Comments begin in this column where the line leaves room.
const COMMENT_COLUMN: usize = 44;

/// The whole file.
pub fn example() -> String {
    let mut text = String::from(HEAD);
    let mut section = "";
    for setting in SETTINGS {
        if setting.kind == Kind::Array {
            text.push_str(&listed(setting));
            continue;
        }
        let (of, name) = split(setting.key);
        if of != section {
            section = of;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&line("", name, setting));
    }
    text.push_str(PROVIDERS);
    for setting in OF_A_PROVIDER {
        text.push_str(&line("# ", setting.key, setting));
    }
    text
}

const HEAD: &str = "\
# Settings of Sealgate. Every line shows its default: this file changes nothing as it stands.
# Each value can be overridden by an environment variable, two underscores between levels, e.g.
# SEALGATE_PROXY__LISTEN. Relative paths count from this file. Unknown names are an error.
# What is logged is set by RUST_LOG alone, e.g. RUST_LOG=sealgate=debug,warn.

";

const PROVIDERS: &str = "
# A provider of the catalogue, changed: give what differs from the catalogue's entry.
# [providers.polygon]
# requests_per_minute = 300

# A whole new provider, with every member there is; base_url, category and inject are enough.
# [providers.acme]
";

/// The first part is written as `[section]`; what is below TLS and tiers stays dotted.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or(("", key))
}

fn line(lead: &str, name: &str, setting: &Setting) -> String {
    let assignment = format!("{lead}{name} = {}", setting.default);
    let pad = COMMENT_COLUMN.saturating_sub(assignment.chars().count()).max(2);
    format!("{assignment}{:pad$}# {}\n", "", setting.help)
}

/// What is an array of tables has an item that shows its members.
fn listed(setting: &Setting) -> String {
    let item = match setting.key {
        "rotation.policies" => RENEWED,
        "reports.schedules" => REPORT,
        _ => PAGE,
    };
    format!("\n# [[{}]]{:24}# {}\n{item}", setting.key, "", setting.help)
}

const PAGE: &str = "\
# origin = \"https://app.example\"
# role = \"guest\"
# tier = \"limited\"
# limit = 10000
# routes = [\"polygon:GET:/v2/aggs/**\"]
";

const REPORT: &str = "\
# kind = \"usage\"                              # or hygiene, security
# schedule = \"0 7 * * mon\"                    # or \"every 7d\"
# time_zone = \"UTC\"
# days = 30                                   # of so many days until then
# to = \"desk\"                                 # a destination of alerts: e-mail or webhook
# client = \"\"                                 # the id or the name of a client key
# provider = \"\"
";

const RENEWED: &str = "\
# provider = \"openai\"
# secret = \"default\"                          # without it: every secret of the provider
# kind = \"openai\"                             # or webhook, command, manual
# schedule = \"every 30d\"                      # or five fields as cron has them
# time_zone = \"UTC\"
# max_age_days = 90
# steps = [1, 10, 50, 100]
# hold_seconds = 300
# timeout_seconds = 30
# project = \"proj_…\"                          # openai
# admin_secret = \"admin\"                      # openai: a disabled secret of the same provider
# url = \"https://keys.example/rotate\"         # webhook
# signing_secret = { file = \"rotator.key\" }   # webhook: whsec_…
# path = \"/usr/local/bin/new-key\"             # command
# args = []                                   # command
# retire = true                               # webhook, command: it is told of former keys
";

/// Every variable with its setting.
#[cfg(test)]
pub(super) fn variables() -> Vec<(String, &'static str)> {
    let variable = |setting: &Setting| (super::layers::variable_of(setting.key), setting.key);
    SETTINGS.iter().map(variable).collect()
}
