//! What `leasehold rs` asks for: an operator's word on one real server.

use leasehold_model::{Config, Override, Overrides, RealName};
use leasehold_node_core::real_servers;
use leasehold_proto::control::OverrideRealServerRequest;
use leasehold_proto::control::override_real_server_request::Word;
use leasehold_raft::state::{Command, State};
use tonic::Status;

/// What is to be proposed, and what is said when that is done.
pub(super) fn wanted(
    request: &OverrideRealServerRequest,
    state: &State,
) -> Result<(Command, String), Status> {
    let word = match request.word() {
        Word::Enable => None,
        Word::Drain => Some(Override::Drain),
        Word::Disable => Some(Override::Disable),
        Word::Weight => Some(Override::Weight(u16::try_from(request.weight).map_err(|_| {
            let why = format!("weight {} is out of range: 0 to 65535", request.weight);
            Status::invalid_argument(why)
        })?)),
        Word::Unspecified => {
            return Err(Status::invalid_argument("enable, drain, disable or weight?"));
        }
    };
    let found = real_servers::find(&state.config, &request.virtual_server, &request.real_server);
    let real_server = found.map_err(|why| Status::not_found(why.to_string()))?;
    let mut overrides = (*state.overrides).clone();
    let before = match word {
        Some(word) => overrides.insert(real_server.clone(), word),
        None => overrides.remove(&real_server),
    };
    let mut said = match (word, before) {
        (Some(Override::Drain), _) => format!("{real_server} takes no new connections"),
        (Some(Override::Disable), _) => format!("{real_server} is disabled"),
        (Some(Override::Weight(weight)), _) => format!("{real_server} has weight {weight}"),
        (None, Some(before)) => {
            format!("{real_server} is as the configuration and its checks say: {before} is over")
        }
        (None, None) => format!("{real_server} is as the configuration and its checks say"),
    };
    if word.is_some() && !takes_any(&state.config, &overrides, &real_server) {
        said += "; now no real server of this virtual server takes any";
    }
    Ok((Command::Override { real_server, word }, said))
}

/// What a configuration puts an end to, a line each.
pub(super) fn ended(config: &Config, overrides: &Overrides) -> Vec<String> {
    let ended = overrides.iter().filter(|(name, _)| config.real_server(name).is_none());
    ended
        .map(|(name, word)| format!("{name} is removed, and with it an operator's {word}"))
        .collect()
}

/// Whether operators and configuration leave `name`'s virtual server one that takes connections.
fn takes_any(config: &Config, overrides: &Overrides, name: &RealName) -> bool {
    let Some((server, _)) = config.real_server(name) else { return false };
    server.real_servers.iter().any(|one| match overrides.get(&RealName::new(server, one.address)) {
        Some(Override::Drain | Override::Disable) => false,
        Some(Override::Weight(weight)) => *weight > 0,
        None => one.weight > 0,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leasehold_model::{Protocol, RealServer, Service, VirtualServer};

    use super::*;

    fn state() -> State {
        let at = |text: &str| text.parse().unwrap();
        let service = Service::Address(at("192.168.1.100:80"));
        let mut server = VirtualServer::new(service, Protocol::Tcp);
        server.real_servers =
            ["10.0.0.8:80", "10.0.0.9:80"].map(|real| RealServer::new(at(real))).into();
        let config = Arc::new(Config { virtual_servers: vec![server], ..Config::default() });
        State { config, ..State::default() }
    }

    fn ask(
        state: &State,
        real: &str,
        word: Word,
        weight: u32,
    ) -> Result<(Command, String), Status> {
        let request = OverrideRealServerRequest {
            virtual_server: "192.168.1.100:80".to_owned(),
            real_server: real.to_owned(),
            word: word.into(),
            weight,
        };
        wanted(&request, state)
    }

    #[test]
    fn the_last_one_that_takes_connections_is_drained_with_a_warning() {
        let mut state = state();
        let (command, said) = ask(&state, "10.0.0.8:80", Word::Weight, 0).unwrap();
        assert_eq!(said, "10.0.0.8:80 of 192.168.1.100:80 has weight 0");
        let Command::Override { real_server, word: Some(word) } = command else { panic!() };
        Arc::make_mut(&mut state.overrides).insert(real_server, word);
        for word in [Word::Drain, Word::Disable] {
            let (_, said) = ask(&state, "10.0.0.9:80", word, 0).unwrap();
            assert!(
                said.ends_with("now no real server of this virtual server takes any"),
                "{said}"
            );
        }
        let (_, said) = ask(&state, "10.0.0.9:80", Word::Weight, 1).unwrap();
        assert_eq!(said, "10.0.0.9:80 of 192.168.1.100:80 has weight 1");
        let (_, said) = ask(&state, "10.0.0.8:80", Word::Enable, 0).unwrap();
        assert!(said.ends_with("weight 0 is over"), "{said}");
    }

    #[test]
    fn what_a_configuration_ends_is_told() {
        let mut state = state();
        let (command, _) = ask(&state, "10.0.0.8:80", Word::Weight, 5).unwrap();
        let Command::Override { real_server, word: Some(word) } = command else { panic!() };
        Arc::make_mut(&mut state.overrides).insert(real_server, word);
        assert!(ended(&state.config, &state.overrides).is_empty());
        let told = ended(&Config::default(), &state.overrides);
        let line = "10.0.0.8:80 of 192.168.1.100:80 is removed, and with it an operator's weight 5";
        assert_eq!(told, [line]);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let state = state();
        let why =
            |real, word, weight| ask(&state, real, word, weight).unwrap_err().message().to_owned();
        let range = why("10.0.0.8:80", Word::Weight, 65_536);
        assert_eq!(range, "weight 65536 is out of range: 0 to 65535");
        let none = why("10.0.0.8:80", Word::Unspecified, 0);
        assert_eq!(none, "enable, drain, disable or weight?");
        let nearest = why("10.0.0.7:80", Word::Drain, 0);
        assert!(nearest.contains("the nearest is 10.0.0."), "{nearest}");
    }
}
