//! Variables that Kubernetes puts into every container for the services of its namespace. One that
//! is called `sealgate`, or begins so, yields names with our own prefix that nobody has written.
//! Recognised by name and value together. Must never pass over what may be meant as a setting.

use std::net::{IpAddr, SocketAddr};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// `rest` is the name without our prefix.
pub(super) fn is_of_a_neighbour(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    // Two underscores stand between the levels of a setting.
    if words.iter().any(|word| word.is_empty()) {
        return false;
    }
    // What precedes is the rest of the service's name.
    (0..words.len()).any(|at| says(words.get(at..).unwrap_or_default(), value))
}

fn says(words: &[&str], value: &str) -> bool {
    match words {
        ["SERVICE", "HOST"] | ["PORT", _, _, "ADDR"] if is_port_of(words) => is_address(value),
        ["SERVICE", "PORT", ..] => is_number(value),
        ["PORT"] => is_link(value, None, None),
        ["PORT", port, protocol] => is_link(value, Some(port), Some(protocol)),
        ["PORT", _, protocol, "PROTO"] if is_port_of(words) => value.eq_ignore_ascii_case(protocol),
        ["PORT", port, _, "PORT"] if is_port_of(words) => value == *port,
        _ => false,
    }
}

/// `PORT_8080_TCP_…`; a name of another form has nothing to contradict.
fn is_port_of(words: &[&str]) -> bool {
    match words {
        ["PORT", port, protocol, _] => is_number(port) && PROTOCOLS.contains(protocol),
        _ => true,
    }
}

/// `tcp://10.0.0.11:8080`, agreeing with its name where that says more.
fn is_link(value: &str, port: Option<&str>, protocol: Option<&str>) -> bool {
    let Some((scheme, place)) = value.split_once("://") else { return false };
    let Ok(place) = place.parse::<SocketAddr>() else { return false };
    PROTOCOLS.contains(&scheme.to_ascii_uppercase().as_str())
        && protocol.is_none_or(|protocol| protocol.eq_ignore_ascii_case(scheme))
        && port.is_none_or(|port| place.port().to_string() == port)
}

fn is_address(value: &str) -> bool {
    value.parse::<IpAddr>().is_ok()
}

fn is_number(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_writes_for_a_service_is_recognised() {
        for (rest, value) in [
            ("SERVICE_HOST", "10.96.0.11"),
            ("SERVICE_HOST", "fd00::b"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_PROXY", "8080"),
            ("SERVICE_PORT_METRICS_TLS", "8443"),
            ("PORT", "tcp://10.96.0.11:8080"),
            ("PORT", "udp://[fd00::b]:8080"),
            ("PORT_8080_TCP", "tcp://10.96.0.11:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.96.0.11"),
            // A service called sealgate-admin.
            ("ADMIN_SERVICE_HOST", "10.96.0.12"),
            ("ADMIN_PORT_8000_TCP", "tcp://10.96.0.12:8000"),
        ] {
            assert!(is_of_a_neighbour(rest, value), "{rest}={value}");
        }
    }

    #[test]
    fn what_may_be_meant_as_a_setting_is_not() {
        for (rest, value) in [
            ("PORT", "8080"),
            ("PORT", "https://10.96.0.11:8080"),
            ("PORT", "tcp://gate.example:8080"),
            ("SERVICE_HOST", "gate.example"),
            ("SERVICE_PORT", "many"),
            ("PORT_8080_TCP", "tcp://10.96.0.11:8081"),
            ("PORT_8080_TCP", "udp://10.96.0.11:8080"),
            ("PORT_8080_TCP_PROTO", "udp"),
            ("PORT_8080_TCP_PORT", "8081"),
            ("PORT_X_TCP_ADDR", "10.96.0.11"),
            ("PROXY__PORT", "tcp://10.96.0.11:8080"),
            ("PROXY__SERVICE_PORT", "8080"),
            ("PROXY_LISTEN", "10.96.0.11"),
            ("", "tcp://10.96.0.11:8080"),
        ] {
            assert!(!is_of_a_neighbour(rest, value), "{rest}={value}");
        }
    }
}
