//! `docs/keepalived.md`, made from the keyword table.

use std::fmt::Write;

use super::keywords::{self, Block, Status};

const HEAD: &str = "\
# keepalived.conf in Leasehold

<!-- Made from node/core/src/keepalived/keywords; a test compares. Do not edit. -->

`leasehold import ds1=FILE ds2=FILE` makes one configuration of the cluster from each node's
keepalived.conf and prints it; `leasehold apply FILE.conf` applies one file to every director.

- An instance is known by its name, which is the same in every file. Each file that has it gives
  its node's priority and interface; a director without the instance, or without a file, is a
  spare: it holds the instance when no other can.
- A file that is applied without a node's name gives every director the same priority.
- virtual_router_id, advert_int, authentication and the addresses must agree. Where they differ,
  the import is refused and both places are named.
- A virtual server is known by its address and port, firewall mark or group, and its protocol. Its
  settings and real servers must agree in every file that has it; the holder of the VIP serves it.
- A real server's port is the service's with DR and TUN, as in keepalived, which can't change it
  then; its checks keep the port that was written.
- A value such as `<NETMASK>` was never filled in: its line is ignored, with a warning.
- What is not served is reported once, with file, line and column. Nothing is dropped silently.
- A number out of its range, a bad address and an unbalanced brace are errors. keepalived logs
  them and goes on with a default.
- The block of an unknown keyword is skipped as a whole. keepalived reads its lines as if they
  stood outside.
- nopreempt counts only with state BACKUP, as in keepalived. Where nodes differ, the settings of
  the node of the highest priority count: it is the one that would preempt.
- `include`, `@id` lines (compared with the node's name), `$NAME` definitions, `~SEQ` and `~LST`
  are served. `${_RANDOM}` and `${_ENV}` are refused: they differ from machine to machine.
";

/// The documentation of every keyword.
#[must_use]
pub fn to_markdown() -> String {
    let mut out = HEAD.to_owned();
    let all: Vec<_> = keywords::all().collect();
    let count = |status| all.iter().filter(|keyword| keyword.status == status).count();
    let names: std::collections::BTreeSet<&str> = all.iter().map(|one| one.name).collect();
    let (served, later) = (count(Status::Served), count(Status::NotYet));
    let never = count(Status::NoMeaning);
    let _ = write!(
        out,
        "\nThe table knows {} names, some in several blocks: {served} entries are served, {later} \
         are not yet, and {never} have no meaning here.\n",
        names.len(),
    );
    let mut last: Option<Block> = None;
    for keyword in all {
        if last != Some(keyword.block) {
            let _ = write!(out, "\n## {}\n\n", keyword.block);
            out.push_str("| keyword | status | what happens |\n| --- | --- | --- |\n");
            last = Some(keyword.block);
        }
        let _ = writeln!(out, "| `{}` | {} | {} |", keyword.name, keyword.status, keyword.note);
    }
    out
}
