//! The steps that ask nobody: the rows, the envelope, the shape, whether calls are served.
//! Their sentences stand here; what they judge is the vault's.
//! Must never repeat a value.

use super::report::{Run, Step};
use crate::provider::Provider;
use crate::refusal::FieldFault;
use crate::vault::{Checked, Value};

/// Are the rows as they were left, and does the value open?
pub(super) fn of_rows(checked: &Checked, version: Option<u32>, run: &mut Run<'_, '_>) {
    run.end(match checked.untouched {
        true => Step::new("rows", Some(true), BOUND),
        false => Step::new("rows", Some(false), checked.fault.unwrap_or(EDITED))
            .with_remedy("Destroy it and enter the provider's key again, or restore a backup."),
    });
    run.end(match (&checked.value, version) {
        (_, Some(version)) => Step::new("open", None, format!("Version {version} is asked about.")),
        (Value::None, None) => {
            Step::new("open", Some(false), "No version of this secret is in service.")
        }
        (Value::DoesNotOpen, None) => Step::new("open", Some(false), CLOSED)
            .with_remedy("Destroy it and enter the provider's key again, or restore a backup."),
        (Value::Opens, None) => Step::new("open", Some(true), "The active version opens."),
    });
}

/// Does it look like a key of this provider, or like another's?
pub(super) fn format(
    faults: Option<&[FieldFault]>,
    (provider, hint): (&Provider, Option<String>),
) -> Step {
    let looks = hint.map(|title| {
        format!("This looks like a key of {title}: was it meant for another provider?")
    });
    let step = match faults {
        None => return unconfigured(),
        Some([]) => Step::new("format", Some(true), "The fields have the provider's format."),
        Some(faults) => {
            let sentences: Vec<String> =
                faults.iter().map(|fault| format!("{} {}", fault.field, fault.fault)).collect();
            let remedy = format!("Copy the key again from {}'s own pages.", provider.title);
            Step::new("format", Some(false), sentences.join("; ")).with_remedy(remedy)
        }
    };
    match looks {
        Some(looks) => step.with_remedy(looks),
        None => step,
    }
}

pub(super) fn unconfigured() -> Step {
    Step::new("format", None, "The provider of this secret is not configured.")
}

/// Nothing could be asked with it.
pub(super) fn unasked() -> Step {
    Step::new("live", None, "The provider was not asked: there is no value to ask it with.")
}

pub(super) fn serve(checked: &Checked) -> Step {
    match (checked.fault, checked.active) {
        (Some(why), _) => Step::new("serve", Some(false), why),
        (None, false) => Step::new("serve", None, DISABLED),
        (None, true) => Step::new("serve", Some(true), "Calls are served with it."),
    }
}

const BOUND: &str = "All that is stored of it is as Sealgate left it: id, provider, name, category, \
     active, fingerprint, owner, labels, expires_at, created_at, created_by, updated_at, and every \
     version's number, state, destinations, envelope, created_at and created_by; the data key is \
     bound by itself. last_used_at of a version changes with use and is not bound.";
const EDITED: &str = "Its rows are not as Sealgate left them.";
const CLOSED: &str = "The stored secret does not open: its row was changed outside Sealgate.";
const DISABLED: &str = "It is disabled, and no call is served with it; `sealgate secret set --active true` enables it.";
