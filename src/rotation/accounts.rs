//! Service accounts of OpenAI as the holders of keys: one is made for each new key, and deleted
//! with it. Its name says which renewal made it, so that one of which nothing else is known is
//! found. Must never delete one that this house did not name.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::policy::{OpenAi, Policy};
use super::ways::Made;
use super::{Parts, Rotor};
use crate::probe::{Errand, SERVES_CALLERS};
use crate::provider::Provider;
use crate::secret::SecretBytes;

#[derive(Deserialize)]
struct RawMade {
    id: String,
    api_key: RawKey,
}

#[derive(Deserialize)]
struct RawKey {
    value: String,
}

#[derive(Deserialize)]
struct RawPage {
    data: Vec<RawAccount>,
    #[serde(default)]
    has_more: bool,
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct RawAccount {
    id: String,
    name: String,
}

/// The one member that a key of OpenAI's has.
const FIELD: &str = "api_key";
const PREFIX: &str = "sealgate-";
/// A project has a few hundred at most.
const MOST_PAGES: u32 = 100;

/// Whose accounts they are, and by which key they are looked after.
struct Desk<'a> {
    rotor: &'a Rotor,
    policy: &'a Policy,
    openai: &'a OpenAi,
    provider: Arc<Provider>,
    admin: Uuid,
}

pub(super) fn name_of(run: Uuid) -> String {
    format!("{PREFIX}{}", run.simple())
}

impl Rotor {
    /// What an earlier try of the same renewal has left is deleted first.
    pub(super) async fn make_account(
        &self,
        (policy, openai): (&Policy, &OpenAi),
        run: Uuid,
    ) -> Result<Made, String> {
        let desk = self.desk(policy, openai).await?;
        desk.delete_named(&name_of(run)).await?;
        desk.make(&name_of(run)).await
    }

    pub(super) async fn delete_account(
        &self,
        (policy, openai): (&Policy, &OpenAi),
        run: Uuid,
    ) -> Result<(), String> {
        self.desk(policy, openai).await?.delete_named(&name_of(run)).await
    }

    /// Can they be looked after at all? Changes nothing.
    pub(super) async fn look_at_accounts(
        &self,
        (policy, openai): (&Policy, &OpenAi),
    ) -> Result<usize, String> {
        Ok(self.desk(policy, openai).await?.accounts().await?.len())
    }

    async fn desk<'a>(
        &'a self,
        policy: &'a Policy,
        openai: &'a OpenAi,
    ) -> Result<Desk<'a>, String> {
        let Parts { vault, catalogue, .. } = &self.parts;
        let provider = catalogue.get(&policy.provider).ok_or("its provider is not known")?;
        let listed = vault.list().await.map_err(|fault| fault.to_string())?;
        let name = &openai.admin_secret;
        let is_it = |secret: &&crate::vault::SecretView| {
            secret.provider == policy.provider && secret.name == *name
        };
        let admin = listed.iter().find(is_it).ok_or_else(|| {
            format!(
                "the admin key is not stored: `sealgate secret add {} --name {name} --no-validate`, \
                 then disable it",
                policy.provider
            )
        })?;
        if admin.active {
            return Err(format!("the admin key {}/{name} {SERVES_CALLERS}", policy.provider));
        }
        Ok(Desk { rotor: self, policy, openai, provider, admin: admin.id })
    }
}

impl Desk<'_> {
    async fn ask(
        &self,
        method: Method,
        rest: &str,
        json: Option<&str>,
    ) -> Result<(u16, SecretBytes), String> {
        let path =
            format!("/v1/organization/projects/{}/service_accounts{rest}", self.openai.project);
        let errand = Errand { method, path: &path, json, within: self.policy.within };
        self.rotor.parts.prober.errand((self.admin, &self.provider), errand).await
    }

    async fn make(&self, name: &str) -> Result<Made, String> {
        let wanted = json!({"name": name}).to_string();
        let (status, body) = self.ask(Method::POST, "", Some(&wanted)).await?;
        if !(200..300).contains(&status) {
            return Err(refused("make a service account", status));
        }
        let raw: RawMade = serde_json::from_slice(body.expose())
            .map_err(|_| String::from("what it answered is no service account with a key"))?;
        let fields = vec![(FIELD.to_owned(), SecretBytes::from_string(raw.api_key.value))];
        let handle = Some(raw.id).filter(|id| is_id(id));
        let handle = handle.ok_or("what it answered has no id that can be one")?;
        Ok(Made { fields, handle: Some(handle), expires_at: None })
    }

    async fn accounts(&self) -> Result<Vec<RawAccount>, String> {
        let (mut found, mut after) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let rest = format!("?limit=100{after}");
            let (status, body) = self.ask(Method::GET, &rest, None).await?;
            if status != 200 {
                return Err(refused("list service accounts", status));
            }
            let page: RawPage = serde_json::from_slice(body.expose())
                .map_err(|_| String::from("what it answered is no list of service accounts"))?;
            let last = page.last_id.or_else(|| page.data.last().map(|last| last.id.clone()));
            found.extend(page.data);
            match last {
                _ if !page.has_more => return Ok(found),
                Some(last) if is_id(&last) => after = format!("&after={last}"),
                // What is on the next page is not gone.
                Some(_) | None => {
                    return Err(String::from(
                        "it says that there are more accounts, and not where",
                    ));
                }
            }
        }
        Err(String::from("it has more service accounts than anybody looks through"))
    }

    async fn delete_named(&self, name: &str) -> Result<(), String> {
        for account in self.accounts().await? {
            if account.name != name || !is_id(&account.id) {
                continue;
            }
            let rest = format!("/{}", account.id);
            let (status, _) = self.ask(Method::DELETE, &rest, None).await?;
            // Somebody else may have been faster.
            if !(200..300).contains(&status) && status != 404 {
                return Err(refused("delete a service account", status));
            }
        }
        Ok(())
    }
}

fn refused(what: &str, status: u16) -> String {
    match status {
        401 | 403 => format!("the admin key may not {what}: it answered {status}"),
        404 => format!("asked to {what} it answered 404: is the project the right one?"),
        _ => format!("asked to {what} it answered {status}"),
    }
}

/// Goes into a path.
fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=200).contains(&text.len()) && text.bytes().all(fits)
}
