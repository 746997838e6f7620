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
- virtual_router_id, advert_int, authentication, the addresses, routes and rules, what is tracked,
  sync groups and global_defs must agree. Where they differ, the import is refused and both places
  are named. An interface may be called otherwise on each node: its own name in a file means the
  instance's.
- mcast_src_ip and unicast_src_ip are that node's. The unicast_peer of all files, and their
  unicast_src_ip, become one list of every director's address.
- Notification scripts may differ from node to node, as those of a cloud do: each director runs
  what its file says.
- A sync group is one lease: its instances move together, or not at all. Weights count in it, as
  with sync_group_tracking_weight, for whichever instance they are given: a group has one priority.
- vrrp_strict is not imitated. keepalived with it drops packets to VIPs, and refuses
  authentication, unicast_peer, preempt_delay and repeated announcements; here they count.
- Without vrrp_version and version, a fraction in advert_int makes adverts VRRPv3. With 2 it is
  rounded, as keepalived does.
- `notify_master PATH USER GROUP`: a command with arguments takes quotes, as in keepalived 2.
- A virtual server is known by its address and port, firewall mark or group, and its protocol. Its
  settings and real servers must agree in every file that has it; the holder of the VIP serves it.
- A real server's port is the service's with DR and TUN, as in keepalived, which can't change it
  then; its checks keep the port that was written.
- Every url of HTTP_GET and SSL_GET is asked in each check; keepalived asks one, and the next a
  delay_loop later, which fast_recovery shortens.
- BFD_CHECK is not served: a real server that nothing else checks is up.
- A value such as `<NETMASK>` was never filled in: its line is ignored, with a warning.
- What is not served is reported once, with file, line and column. Nothing is dropped silently.
- A mail address without a domain is left out, and of an address that is written again in its block
  the first line counts; both with a warning, since keepalived's own samples have them.
- A number out of its range, a bad address and an unbalanced brace are errors. keepalived logs
  them and goes on with a default.
- The block of an unknown keyword is skipped as a whole. keepalived reads its lines as if they
  stood outside.
- nopreempt counts only with state BACKUP, as in keepalived. Where nodes differ, the settings of
  the node of the highest priority count: it is the one that would preempt.
- `@id` lines (compared with the node's name), `$NAME` definitions, `~SEQ` and `~LST` are served. A
  condition on a node that is not imported with the others is told of, with its place.
  `${_RANDOM}` and `${_ENV}` are refused: they differ from machine to machine.
- `include` takes wildcards and braces, relative to the file it stands in. It may have an `@id` and
  definitions, which keepalived's can't. A file that is named and not there is an error; a pattern
  that matches nothing is a warning, and an error with includem, includew and includea.
- Patterns are those of glob(3): hidden files only where the dot is written, `**` no more than `*`.
  What is no regular file, or is executable, is skipped, as in keepalived: a warning names it, or an
  error where the line names it without wildcards, or has a stricter word than include: keepalived
  ends there with a stricter word, and with include it goes on without. A file that can't be read
  is an error with any of them: half a configuration would take VIPs away.
- Comments begin with `#` or `!` outside double quotes; `\\#` and `\\!` are characters, with
  a warning: keepalived 2.2 drops the backslash, and then the rest as a comment. Escapes as in
  C are read in scripts, processes and patterns; elsewhere a backslash is one. A backslash at the
  end of a line goes on in the next line in a definition only, as in keepalived 2.
- A byte order mark is passed over, and Windows' line ends are. What is no UTF-8 is an error outside
  a comment, and so is a NUL. A line may have any length; keepalived cuts it.
- A file that expands to more than 6 Mi characters, or to 1.5 Mi words, braces and lines, is refused, and so
  are blocks, includes and definitions more than 32 deep. The manual's 65024 instances by `~SEQ` are
  refused too: a cluster has 4096.
";

const BACK: &str = "
## Going back

`leasehold export --keepalived ds1` prints the keepalived.conf of the director ds1, and
`leasehold export --keepalived ds1 --from cluster.toml` does so from a TOML file, without a daemon. On
stderr it says what that file can't say, each with its place and the reason.

To return to keepalived: export for every director, check each text with `keepalived -t -f FILE`,
stop Leasehold on all of them (`systemctl stop leasehold`, which releases what is held), and only
then start keepalived. Two masters are what happens otherwise: the lease binds Leasehold alone.

- Importing all the texts again gives the same configuration, but for what was said to be missing.
- Every director gets every instance, with state BACKUP: the priority decides. A spare gets
  priority 1, keepalived's lowest, and only where no other has 1 is it below all.
- keepalived serves virtual servers on every node; `instance` of a virtual server has no word.
- `rise`, `damping`, webhooks, `drain_timeout_ms`, `dataplane`, SHA-256 digests, HTTP/2, certificate
  checks, a name for SNI that is no virtualhost and `foreign_master` have no word.
- A name with a double quote or a control character can't be written: the export is refused and
  names it. A command whose backslashes keepalived reads otherwise than a shell is left out.
- Scripts without a user run as keepalived_script or root there, and as keepalived_script or nobody
  here.
- The words are those of keepalived 2.4.3. 2.2.7 knows no `v3_checksum_as_v2`, and counts `interval`
  and `timeout` of a vrrp_script and `smtp_connect_timeout` in whole seconds.
- Lines are at most 1000 bytes, as keepalived reads no more than 1023 of one.
";

/// The documentation of every keyword.
#[must_use]
pub fn to_markdown() -> String {
    let mut out = HEAD.to_owned();
    out.push_str(BACK);
    let all: Vec<_> = keywords::all().collect();
    let count = |status| all.iter().filter(|keyword| keyword.status == status).count();
    let names: std::collections::BTreeSet<&str> = all.iter().map(|one| one.name).collect();
    let (served, later) = (count(Status::Served), count(Status::NotYet));
    let never = count(Status::NoMeaning);
    let _ = write!(
        out,
        "\n## Keywords\n\nThe table knows {} names, some in several blocks: {served} entries are served, {later} \
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
