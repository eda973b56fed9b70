//! Where the values of a secret come from: a prompt without echo, or standard input. Never an
//! argument, which other users of the machine and the shell's history would see. The wire form that
//! is made here dies with the command.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::client;
use crate::provider;
use crate::secret::SecretBytes;

/// No key of any provider comes near this.
const MOST_BYTES: u64 = 1024 * 1024;

const REASON: &str = "a secret's value is never taken from the command line, where other users \
                      and the shell's history see it; answer the prompt, or pipe it in: sealgate \
                      secret add polygon < key.txt";

/// What stands behind the last argument: an error with its reason, whatever it is.
pub(super) fn refuse_values(extra: &[String]) -> Result<(), Failure> {
    // A single hyphen is how many programs write "standard input".
    if extra.iter().all(|text| text == "-") { Ok(()) } else { Err(Failure::usage(REASON)) }
}

/// No command takes a client key or token from the command line.
pub(super) fn refuse_keys(arguments: &[OsString]) -> Result<(), Failure> {
    let is_key = |argument: &OsString| client::holds_key(&argument.to_string_lossy());
    if arguments.iter().any(is_key) { Err(Failure::usage(NO_KEYS)) } else { Ok(()) }
}

const NO_KEYS: &str = "a client key or token stands there, which is not repeated here: no command \
                       takes one from the command line, where other users and the shell's history \
                       see it. A remote one goes into SEALGATE_KEY; a client key is called by its \
                       id, its name or its first eight characters. Rotate it if others may have \
                       seen it";

/// What the parser of arguments did not understand, without what it did not understand: that may be
/// a value, or a passphrase.
pub(super) fn unrepeated(error: clap::Error) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let is_flag = text(ContextKind::InvalidArg).is_some_and(|text| text.starts_with('-'));
    let is_like_one = error.get(ContextKind::SuggestedSubcommand).is_some();
    let kind = error.kind();
    if kind == ErrorKind::TooManyValues || (kind == ErrorKind::UnknownArgument && !is_flag) {
        return Failure::usage(TOO_MUCH);
    }
    if kind == ErrorKind::InvalidSubcommand && !is_like_one {
        return Failure::usage(NO_COMMAND);
    }
    if matches!(kind, ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        let option = text(ContextKind::InvalidArg).unwrap_or("an argument");
        let takes = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(taken)) if !taken.is_empty() => {
                format!("; it takes {}", taken.join(", "))
            }
            Some(_) | None => String::new(),
        };
        return Failure::usage(format!(
            "{option} does not take what stands there, which is not repeated here, because it may \
             be a secret{takes}. --help shows what can be given"
        ));
    }
    error.into()
}

const TOO_MUCH: &str = "more stands there than this command takes; it is not repeated here, because \
                        it may be a secret: values and passphrases are never taken from the \
                        command line, where other users and the shell's history see them; answer \
                        the prompt, or pipe them in. --help shows what can be given";
const NO_COMMAND: &str = "there is no such command; what was typed is not repeated here, because it \
                          may be a secret. --help lists the commands";

/// A person is asked; a script has to say that it is meant.
pub(super) fn confirm(secret: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nothing was destroyed: nobody can be asked without a terminal; add --yes if it is meant",
        ));
    }
    let mut answer = String::new();
    let question = format!("Destroy {secret} for good? Only a backup brings it back. Type yes: ");
    std::io::Write::write_all(&mut std::io::stderr(), question.as_bytes())
        .and_then(|()| std::io::stdin().read_line(&mut answer))
        .map_err(|error| Failure::new(format!("cannot ask: {error}")))?;
    let no = "nothing was destroyed: the answer was not yes; `--yes` asks nothing";
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(no)) }
}

/// The values of these fields, as the admin API takes them.
pub(super) fn values(provider: &str, fields: &[String]) -> Result<Map<String, Value>, Failure> {
    if std::io::stdin().is_terminal() { prompted(provider, fields) } else { piped(fields) }
}

fn prompted(provider: &str, fields: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut values = Map::new();
    for field in fields {
        let text = rpassword::prompt_password(format!("{provider} {field} (not shown): "))
            .map_err(|error| Failure::new(format!("cannot read from the terminal: {error}")))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::new(format!("no {field} was given; nothing was stored")));
        }
        values.insert(field.clone(), Value::String(text.to_owned()));
    }
    Ok(values)
}

/// From standard input alone.
pub(super) fn piped(fields: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(Failure::new("standard input holds more than 1 MiB, which is no key"));
    }
    let text = bytes.expose_str().ok_or_else(|| {
        Failure::new("standard input is not UTF-8 text; give the key as the provider shows it")
    })?;
    read_values(text, fields)
}

fn read_values(text: &str, fields: &[String]) -> Result<Map<String, Value>, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::new(format!(
            "standard input is empty; pipe {} in, or run it on a terminal",
            fields.join(" and ")
        )));
    }
    if let [field] = fields {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        return Ok(Map::from_iter([(field.clone(), Value::String(text.to_owned()))]));
    }
    let values = if text.trim_start().starts_with('{') { object(text) } else { lines(text) }?;
    if let Some(unknown) = values.keys().find(|name| !fields.contains(*name)) {
        let known = fields.join(", ");
        let named = match provider::is_like_a_field(unknown) {
            true => format!("{unknown:?} is no field here"),
            false => String::from(
                "a name that stands there is no field here, and is not repeated, because it may be \
                 a value",
            ),
        };
        return Err(Failure::new(format!("{named}; the fields are {known}")));
    }
    match fields.iter().find(|field| !values.contains_key(*field)) {
        Some(missing) => Err(Failure::new(format!("{missing} is missing; nothing was stored"))),
        None => Ok(values),
    }
}

/// The fault of the JSON is not repeated: it could quote the key.
fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    let fault = || Failure::new("standard input is not a JSON object of text members");
    let values: Map<String, Value> = serde_json::from_str(text).map_err(|_| fault())?;
    if values.values().all(Value::is_string) { Ok(values) } else { Err(fault()) }
}

fn lines(text: &str) -> Result<Map<String, Value>, Failure> {
    let mut values = Map::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (index, line) in lines {
        let Some((name, value)) = line.split_once('=') else {
            let line = index + 1;
            return Err(Failure::new(format!(
                "line {line} of standard input has no =; give FIELD=VALUE lines or a JSON object"
            )));
        };
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        if values.contains_key(&name) {
            return Err(Failure::new(match provider::is_like_a_field(&name) {
                true => format!("{name:?} is given twice on standard input"),
                false => String::from("a name is given twice on standard input"),
            }));
        }
        values.insert(name, Value::String(value));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn check(text: &str, names: &[&str], expected: &Value) {
        let values = read_values(text, &fields(names)).map_err(|failure| failure.line());
        assert_eq!(values.map(Value::Object), Ok(expected.clone()));
    }

    #[test]
    fn one_field_is_the_whole_input_without_its_last_line_break() {
        check("abc\n", &["api_key"], &json!({"api_key": "abc"}));
        check("abc", &["api_key"], &json!({"api_key": "abc"}));
        check("a=b\r\n", &["api_key"], &json!({"api_key": "a=b"}));
        check("{\"x\": 1}\n\n", &["api_key"], &json!({"api_key": "{\"x\": 1}\n"}));
    }

    #[test]
    fn several_fields_come_as_lines_or_as_json() {
        let expected = json!({"key_id": "a", "secret_key": "b=c"});
        check("key_id=a\nsecret_key = b=c\n\n", &["key_id", "secret_key"], &expected);
        check(" {\"key_id\":\"a\",\"secret_key\":\"b=c\"}", &["key_id", "secret_key"], &expected);
    }

    #[test]
    fn a_wrong_input_is_told_without_its_content() {
        let cases = [
            ("", "standard input is empty; pipe key_id and secret_key in, or run it on a terminal"),
            (
                "canary",
                "line 1 of standard input has no =; give FIELD=VALUE lines or a JSON object",
            ),
            ("{\"key_id\": canary}", "standard input is not a JSON object of text members"),
            ("{\"key_id\": 1}", "standard input is not a JSON object of text members"),
            ("key_id=canary", "secret_key is missing; nothing was stored"),
            ("kid=canary", "\"kid\" is no field here; the fields are key_id, secret_key"),
            ("key_id=canary\nkey_id=canary", "\"key_id\" is given twice on standard input"),
        ];
        for (text, line) in cases {
            let failure = read_values(text, &fields(&["key_id", "secret_key"])).unwrap_err();
            assert_eq!(failure.line(), line);
        }
    }

    #[test]
    fn a_client_key_among_the_arguments_is_wrong_usage() {
        let key = crate::crypto::token::mint().unwrap().key;
        let key = key.expose_str().unwrap();
        for argument in [key.to_owned(), format!("--name={key}"), format!("x {key}")] {
            let failure = refuse_keys(&["client".into(), argument.into()]).unwrap_err();
            assert!(failure.is_usage() && !failure.line().contains(key));
        }
        assert!(refuse_keys(&["client".into(), key[..8].into()]).is_ok());
    }

    #[test]
    fn a_value_among_the_arguments_is_wrong_usage() {
        let failure = refuse_values(&fields(&["sk-canary"])).unwrap_err();
        assert!(failure.is_usage());
        assert!(!failure.line().contains("sk-canary"));
        assert!(refuse_values(&fields(&["-"])).is_ok());
        assert!(refuse_values(&[]).is_ok());
    }
}
