//! `DNS_CHECK`: a name server that answers without an error is up, whatever it answers.
//!
//! One question over UDP, with recursion desired. As keepalived has it, only NOERROR is well, also
//! without a record and cut off (TC); and what comes from elsewhere, has another id or is no
//! response is not the answer, which is waited for until `connect_timeout`. Beyond keepalived,
//! the answer also has to repeat the question.

use std::net::SocketAddr;

use leasehold_dataplane_core::health::wire::dns::{self, Code, Heard, NameError};
use leasehold_model::DnsCheck;
use socket2::Type;

use super::datagram::Datagrams;
use super::{CheckError, Target};

/// Room for a header and any question. What is cut off behind is not read anyway.
const MESSAGE_MAX: usize = 512;

/// What is wrong with a name server's answer, or with what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("{0} answered {1} to a question for {2} of {3}")]
    Code(SocketAddr, Code, String, String),
    #[error("nothing can be asked with this name: {0}")]
    Name(NameError),
}

#[derive(Debug)]
pub(super) struct Question {
    check: DnsCheck,
    bytes: Result<dns::Question, NameError>,
}

impl Question {
    pub(super) fn new(check: &DnsCheck) -> Self {
        Self { check: check.clone(), bytes: dns::Question::new(&check.name, check.record) }
    }

    pub(super) async fn ask(&self, target: &Target) -> Result<(), CheckError> {
        let question = self.bytes.as_ref().map_err(|error| DnsError::Name(error.clone()))?;
        let failed = |error| target.failed(error);
        let socket = Datagrams::open(target, Type::DGRAM, None)?;
        let id = rand::random();
        socket.send(&question.message(id)).map_err(failed)?;
        let answer = async {
            let mut message = [0; MESSAGE_MAX];
            loop {
                let length = socket.receive(&mut message).await.map_err(failed)?;
                match question.judge(id, &message[..length]) {
                    Heard::Answer(code) => return Ok(code),
                    Heard::Unrelated => {}
                }
            }
        };
        let code = target.within(answer).await?;
        if code.is_good() {
            return Ok(());
        }
        let record = format!("{:?}", self.check.record).to_uppercase();
        Err(DnsError::Code(target.address, code, record, self.check.name.clone()).into())
    }
}
