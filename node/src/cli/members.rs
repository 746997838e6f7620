//! Commands that change who is who and who holds what.

use anyhow::Context;
use leasehold_proto::control::change_member_request::Change;
use leasehold_proto::control::{
    ChangeMemberRequest, CreateTokenRequest, DrainRequest, MoveRequest,
};
use leasehold_raft::identity::Identity;

use super::args::{Member, Role, Token};
use super::client::Target;
use super::{out, show};

pub(super) fn token(target: &Target, command: &Token) -> anyhow::Result<()> {
    let Token::Create { role, expires } = command;
    let role = match role {
        Role::Director => "director",
        Role::Witness => "witness",
    };
    let request = CreateTokenRequest { role: role.to_owned(), ttl_seconds: *expires };
    let answer = target.call(async |mut client| client.create_token(request).await)?;
    out::data(&answer.into_inner().token)
}

pub(super) fn member(target: &Target, command: &Member) -> anyhow::Result<()> {
    let (node, change) = match command {
        Member::List { json } => return show::members(target, *json),
        Member::Certificate { name } => {
            let (_, identity) = Identity::read(target.data_dir())?;
            let issued = identity.authority()?.issue_client(name).context("issuing")?;
            return out::data(&issued.reveal());
        }
        Member::Promote { node } => (node, Change::Promote),
        Member::Demote { node } => (node, Change::Demote),
        Member::Remove { node } => (node, Change::Remove),
    };
    let request = ChangeMemberRequest { node: node.clone(), change: change.into() };
    let answer = target.call(async |mut client| client.change_member(request).await)?;
    out::data(&answer.into_inner().message)
}

pub(super) fn r#move(target: &Target, instance: String, to: String) -> anyhow::Result<()> {
    let request = MoveRequest { instance, to };
    let answer = target.call(async |mut client| client.r#move(request).await)?;
    out::data(&answer.into_inner().message)
}

pub(super) fn drain(target: &Target, node: String, drain: bool) -> anyhow::Result<()> {
    let request = DrainRequest { node, drain };
    let answer = target.call(async |mut client| client.drain(request).await)?;
    out::data(&answer.into_inner().message)
}
