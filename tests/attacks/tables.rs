//! Every table once more under TLS. There it is the transport that matters, not the placement: the
//! lanes share the cases, so that each runs in one of them.

use crate::case::{Case, PLACEMENTS};
use crate::run::attack_at;
use crate::scene::Scene;
use crate::slow::half_a_second_request_and_half_a_document_end_by_themselves;
use crate::{answers, credentials, framing, http2, paths, requests};

fn shared(cases: Vec<Case>) -> Vec<Case> {
    let mut shared = Vec::new();
    for (at, case) in cases.into_iter().enumerate() {
        let fits: Vec<_> =
            PLACEMENTS.into_iter().filter(|placement| case.is_for(*placement)).collect();
        shared.push(case.at(&[fits[at % fits.len()]]));
    }
    shared
}

fn all() -> Vec<Case> {
    [
        framing::codings(),
        framing::lengths(),
        framing::chunks(),
        framing::lines(),
        paths::climbing(),
        paths::names(),
        paths::destinations(),
        paths::slots(),
        credentials::places(),
        credentials::pairs(),
        credentials::wrong(),
        credentials::in_turn(),
        credentials::nominations(),
        requests::methods(),
        requests::upgrades(),
        requests::sizes(),
        requests::documents(),
        requests::browsers(),
        http2::heads(),
        http2::rules(),
        http2::floods(),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_fails_under_tls_too() {
    let waiting = Box::pin(half_a_second_request_and_half_a_document_end_by_themselves());
    let cases = Box::pin(async { attack_at(Scene::over_tls().await, shared(all())).await });
    tokio::join!(waiting, cases);
}

/// So that no table is left out by accident.
#[test]
fn there_are_hundreds_of_attacks_for_every_threat() {
    let cases = all();
    let replies = [answers::echoes(), answers::dresses(), answers::framings(), answers::poisons()];
    let replies: Vec<&str> = replies.iter().flatten().map(|reply| reply.threat).collect();
    assert!(cases.len() + replies.len() >= 500, "{} and {}", cases.len(), replies.len());
    for number in (1..=18).chain(20..=26).chain([28]) {
        let threat = format!("T{number:02}");
        let met = cases.iter().any(|case| case.threat == threat) || replies.contains(&&*threat);
        assert!(met, "{threat}");
    }
    let names: std::collections::BTreeSet<_> =
        cases.iter().map(|case| (case.threat, &case.name, &case.at)).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
}
