//! Who can open a backup: holders of a passphrase or of an identity, as the age format has it
//! (age-encryption.org/v1). Its own tools open what is written here. Must never write a file that
//! nobody is named for.

use std::io::{Read, Write};

use age::secrecy::{ExposeSecret, SecretString};
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};

use super::Fault;
use crate::secret::SecretBytes;

/// A quarter of a gigabyte and about a second for each guess, as age's own tool has it.
const WORK: u8 = 18;
/// A file that asks for more is not one of ours.
const MOST_WORK: u8 = 20;

/// What a backup is closed with.
pub(crate) enum Lock {
    Passphrase(SecretBytes),
    Recipients(Vec<x25519::Recipient>),
}

/// What a backup is opened with.
pub(crate) enum Unlock {
    Passphrase(SecretBytes),
    Identities(Vec<x25519::Identity>),
}

impl Lock {
    /// A weak one is refused: whoever has the file can guess as long as he likes.
    pub(crate) fn passphrase(passphrase: SecretBytes) -> Result<Self, Fault> {
        crate::kms::demand_strength(&passphrase)?;
        Ok(Self::Passphrase(passphrase))
    }

    pub(crate) fn recipients(texts: &[String]) -> Result<Self, Fault> {
        let read = |text: &String| {
            let recipient = text.trim().parse::<x25519::Recipient>();
            recipient.map_err(|_| Fault::BadRecipient(text.chars().take(80).collect()))
        };
        let recipients = texts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            Err(Fault::NoRecipient)
        } else {
            Ok(Self::Recipients(recipients))
        }
    }

    pub(super) fn around<W: Write>(&self, sink: W) -> Result<StreamWriter<W>, Fault> {
        let encryptor = match self {
            Self::Passphrase(passphrase) => {
                let mut recipient = scrypt::Recipient::new(secret(passphrase)?);
                recipient.set_work_factor(WORK);
                Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
            Self::Recipients(recipients) => Encryptor::with_recipients(
                recipients.iter().map(|recipient| recipient as &dyn age::Recipient),
            ),
        };
        Ok(encryptor.map_err(|_| Fault::NoRecipient)?.wrap_output(sink)?)
    }
}

impl Unlock {
    /// The text of an identity file: a key a line, comments behind `#`.
    pub(crate) fn identities(file: &SecretBytes) -> Result<Self, Fault> {
        let bad = |why: &str| Fault::BadIdentity(why.to_owned());
        let text = file.expose_str().ok_or_else(|| bad("it is no text"))?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line: &str| line.parse::<x25519::Identity>().map_err(bad);
        let identities = keys.map(read).collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() {
            Err(bad("it is empty"))
        } else {
            Ok(Self::Identities(identities))
        }
    }

    pub(super) fn open<R: Read>(&self, source: R) -> Result<StreamReader<R>, Fault> {
        let decryptor = Decryptor::new(source).map_err(|fault| explain(&fault))?;
        let opened = match self {
            Self::Passphrase(_) if !decryptor.is_scrypt() => {
                return Err(Fault::WrongKey(String::from("it was made for recipients")));
            }
            Self::Passphrase(passphrase) => {
                let mut identity = scrypt::Identity::new(secret(passphrase)?);
                identity.set_max_work_factor(MOST_WORK);
                decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
            }
            Self::Identities(_) if decryptor.is_scrypt() => {
                return Err(Fault::WrongKey(String::from("it was made for a passphrase")));
            }
            Self::Identities(identities) => {
                decryptor.decrypt(identities.iter().map(|one| one as &dyn age::Identity))
            }
        };
        opened.map_err(|fault| explain(&fault))
    }
}

/// A fresh identity file's text, and the public key that belongs to it.
pub(crate) fn generate_identity() -> (SecretBytes, String) {
    let identity = x25519::Identity::generate();
    let public = identity.to_public().to_string();
    let text = format!("# public key: {public}\n{}\n", identity.to_string().expose_secret());
    (SecretBytes::from_string(text), public)
}

fn secret(passphrase: &SecretBytes) -> Result<SecretString, Fault> {
    let wrong = || Fault::WrongKey(String::from("the passphrase is no text"));
    let text = passphrase.expose_str().filter(|text| !text.is_empty()).ok_or_else(wrong)?;
    Ok(SecretString::from(text.to_owned()))
}

fn explain(fault: &DecryptError) -> Fault {
    match fault {
        DecryptError::NoMatchingKeys => {
            Fault::WrongKey(String::from("it was made for others than these identities"))
        }
        DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            Fault::WrongKey(String::from("the passphrase is another one, or its head was edited"))
        }
        DecryptError::ExcessiveWork { .. } => Fault::Damaged("it asks for more work than is sane"),
        DecryptError::InvalidHeader
        | DecryptError::InvalidMac
        | DecryptError::UnknownFormat
        | DecryptError::Io(_)
        | _ => Fault::Damaged("its head is not that of an age file"),
    }
}
