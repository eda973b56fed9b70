//! An operator at the console: a browser that holds one cookie, and a phone with the codes. Calls
//! the admin face as the console's pages do.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::House;
use super::actor::{Admin, Answer, Call};
use super::phone::Phone;

pub(crate) const PASSWORD: &str = "seven quiet herons";

pub(crate) struct Desk {
    pub id: String,
    pub name: String,
    pub phone: Phone,
    pub cookie: String,
    pub recovery: Vec<String>,
}

impl Desk {
    /// Invited by the first admin key, accepted, and signed in by that.
    pub(crate) async fn open(house: &House, name: &str, role: &str) -> Self {
        let body = json!({"name": name, "role": role});
        let made = house.admin.post("/api/v1/admin/operators").json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        Self::accept(house, made.json()["invitation"].as_str().unwrap()).await
    }

    pub(crate) async fn accept(house: &House, invitation: &str) -> Self {
        let offer = offer(&house.admin, invitation).await;
        let phone = Phone::of(offer["totp_secret"].as_str().unwrap(), &house.clock);
        let body = json!({
            "invitation": invitation, "password": PASSWORD, "code": phone.code(),
        });
        let path = "/api/v1/session/invitation/accept";
        let answer = house.admin.bare(Method::POST, path).json(&body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let session = answer.json();
        let codes = session["recovery_codes"].as_array().unwrap();
        Self {
            id: session["operator"]["id"].as_str().unwrap().to_owned(),
            name: session["operator"]["name"].as_str().unwrap().to_owned(),
            phone,
            cookie: cookie(&answer).unwrap(),
            recovery: codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
        }
    }

    pub(crate) fn call(&self, house: &House, method: Method, path: &str) -> Call {
        self.call_at(&house.admin, method, path)
    }

    /// At another face of the same house.
    pub(crate) fn call_at(&self, admin: &Admin, method: Method, path: &str) -> Call {
        admin.bare(method, path).header("cookie", &self.cookie)
    }

    pub(crate) async fn get(&self, house: &House, path: &str) -> Answer {
        self.call(house, Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, house: &House, path: &str, body: Value) -> Answer {
        self.call(house, Method::POST, path).json(&body).send().await
    }

    pub(crate) async fn delete(&self, house: &House, path: &str) -> Answer {
        self.call(house, Method::DELETE, path).send().await
    }

    /// Until the phone shows another code.
    pub(crate) async fn next_code(&self, house: &House) -> String {
        house.clock.advance(Duration::from_secs(30));
        // Whatever goes by the clock has seen it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.phone.code()
    }

    pub(crate) async fn step_up(&mut self, house: &House) {
        let code = self.next_code(house).await;
        let answer = self.post(house, "/api/v1/session/step-up", json!({"code": code})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.cookie = cookie(&answer).unwrap();
    }

    /// With what is right, or something else in its place.
    pub(crate) async fn sign_in(&self, house: &House, password: &str, code: &str) -> Answer {
        let body = json!({"name": self.name, "password": password, "code": code});
        house.admin.bare(Method::POST, "/api/v1/session").json(&body).send().await
    }
}

pub(crate) async fn offer(admin: &Admin, invitation: &str) -> Value {
    let body = json!({"invitation": invitation});
    let answer = admin.bare(Method::POST, "/api/v1/session/invitation").json(&body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What the browser keeps of an answer: name and value.
pub(crate) fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.header("set-cookie")?;
    Some(set.split(';').next().unwrap().to_owned())
}
