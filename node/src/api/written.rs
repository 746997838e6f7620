//! A configuration that a client sends as people write it.

use leasehold_node_core::document;
use leasehold_proto::control::ApplyRequest;
use tonic::Status;

/// The request with its `toml` read.
///
/// # Errors
/// With every fault, a line each; and where nothing is sent, or two.
pub(super) fn read(request: ApplyRequest) -> Result<ApplyRequest, Status> {
    let ApplyRequest { config, toml, .. } = &request;
    match (config.is_empty(), toml.is_empty()) {
        (false, true) => return Ok(request),
        (false, false) => {
            return Err(Status::invalid_argument("toml and config exclude each other: send toml"));
        }
        // An empty document is a configuration too.
        (true, _) => {}
    }
    let (config, faults) = document::parse_toml("toml", toml);
    let errors = faults.iter().filter(|one| one.is_error()).map(ToString::to_string);
    let errors: Vec<String> = errors.collect();
    let Some(config) = config else {
        return Err(Status::invalid_argument(errors.join("\n")));
    };
    let config = serde_json::to_vec(&config)
        .map_err(|error| Status::internal(format!("encoding the configuration: {error}")))?;
    Ok(ApplyRequest { config, toml: String::new(), ..request })
}

#[cfg(test)]
mod tests {
    use leasehold_model::Config;

    use super::*;

    fn asked(config: &[u8], toml: &str) -> Result<ApplyRequest, Status> {
        let (config, toml) = (config.to_vec(), toml.to_owned());
        read(ApplyRequest { config, toml, if_revision: Some(7), ..ApplyRequest::default() })
    }

    #[test]
    fn toml_becomes_what_is_replicated() {
        let toml = "[instance.a]\nvirtual_router_id = 1\ninterface = \"eth0\"\n\
                    virtual_ipaddress = [\"10.0.0.1/24\"]\n";
        let read = asked(b"", toml).unwrap();
        let config: Config = serde_json::from_slice(&read.config).unwrap();
        assert!(config.instances.contains_key("a"));
        assert_eq!((read.toml.as_str(), read.if_revision), ("", Some(7)));
        let nothing = asked(b"", "").unwrap();
        assert_eq!(serde_json::from_slice::<Config>(&nothing.config).unwrap(), Config::default());
        assert_eq!(asked(b"{}", "").unwrap().config, b"{}");
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let why = asked(b"", "[instance.a]\npriority = 999\n").unwrap_err();
        assert!(why.message().contains("toml:2:12: error: priority 999"), "{}", why.message());
        assert!(why.message().contains("virtual_router_id is missing"), "{}", why.message());
        assert!(asked(b"{}", "x = 1").unwrap_err().message().contains("exclude each other"));
    }
}
