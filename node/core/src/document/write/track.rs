//! What is tracked, and who is told: sync groups, scripts, processes, files and alerts.

use leasehold_model::{
    Alerts, Global, ParamMatch, Script, SyncGroup, TrackFile, TrackProcess, TrackScript,
};

use super::virtual_server::{Setting, script};
use super::vrrp::{garp, notify_settings, tracking_settings, version, weight_settings};
use super::{inline, list, string};
use crate::document::mail;

pub(crate) fn sync_group_settings(group: &SyncGroup) -> Vec<Setting> {
    let SyncGroup { members, tracking, notify } = group;
    let mut all = vec![("members", list(members.iter().map(|member| string(member))))];
    all.extend(tracking_settings(tracking));
    all.extend(notify_settings(notify));
    all
}

pub(crate) fn script_settings(one: &TrackScript) -> Vec<Setting> {
    let TrackScript { script, interval_ms, timeout_ms, weight, rise, fall, init_fail } = one;
    let Script { command, user, group } = script;
    let mut all = vec![("script", string(command))];
    all.extend(user.as_ref().map(|user| ("user", string(user))));
    all.extend(group.as_ref().map(|group| ("group", string(group))));
    all.extend((*interval_ms != 1000).then(|| ("interval_ms", interval_ms.to_string())));
    all.extend(timeout_ms.map(|timeout| ("timeout_ms", timeout.to_string())));
    all.extend(weight_settings(weight));
    all.extend((*rise != 1).then(|| ("rise", rise.to_string())));
    all.extend((*fall != 1).then(|| ("fall", fall.to_string())));
    all.extend(init_fail.then(|| ("init_fail", "true".to_owned())));
    all
}

pub(crate) fn process_settings(one: &TrackProcess) -> Vec<Setting> {
    let TrackProcess {
        process,
        param_match,
        full_command,
        weight,
        quorum,
        quorum_max,
        fork_delay_ms,
        terminate_delay_ms,
    } = one;
    let mut all = vec![("process", string(process))];
    match param_match {
        ParamMatch::Exact => {}
        ParamMatch::Initial => all.push(("param_match", "\"initial\"".to_owned())),
        ParamMatch::Partial => all.push(("param_match", "\"partial\"".to_owned())),
    }
    all.extend(full_command.then(|| ("full_command", "true".to_owned())));
    all.extend(weight_settings(weight));
    all.extend((*quorum != 1).then(|| ("quorum", quorum.to_string())));
    all.extend(quorum_max.map(|most| ("quorum_max", most.to_string())));
    all.extend((*fork_delay_ms != 0).then(|| ("fork_delay_ms", fork_delay_ms.to_string())));
    let terminate = terminate_delay_ms;
    all.extend((*terminate != 0).then(|| ("terminate_delay_ms", terminate.to_string())));
    all
}

pub(crate) fn file_settings(one: &TrackFile) -> Vec<Setting> {
    let TrackFile { file, weight, init, overwrite } = one;
    let mut all = vec![("file", string(file))];
    all.extend(weight_settings(weight));
    all.extend(init.map(|init| ("init", init.to_string())));
    all.extend(overwrite.then(|| ("overwrite", "true".to_owned())));
    all
}

/// Those of VRRP that are in `[global]` itself.
pub(crate) fn global_settings(global: &Global) -> Vec<Setting> {
    let mut all = Vec::new();
    let (group4, group6) = (global.vrrp_mcast_group4, global.vrrp_mcast_group6);
    all.extend(group4.map(|group| ("vrrp_mcast_group4", format!("\"{group}\""))));
    all.extend(group6.map(|group| ("vrrp_mcast_group6", format!("\"{group}\""))));
    all.extend(global.vrrp_version.map(|own| ("vrrp_version", version(own))));
    let garp = garp(&global.garp);
    all.extend((!garp.is_empty()).then(|| ("garp", inline(&garp))));
    all.extend(global.garp_interval_us.map(|pacing| ("garp_interval_us", pacing.to_string())));
    all.extend(global.gna_interval_us.map(|pacing| ("gna_interval_us", pacing.to_string())));
    all
}

pub(crate) fn alerts_settings(alerts: &Alerts) -> Vec<Setting> {
    let Alerts {
        script_user,
        script_group,
        notify_fifo,
        notify_fifo_script,
        vrrp_notify_fifo,
        vrrp_notify_fifo_script,
        lvs_notify_fifo,
        lvs_notify_fifo_script,
        notification_email,
        notification_email_from,
        smtp_server,
        smtp_connect_timeout_ms,
        smtp_helo_name,
        smtp_alert,
        smtp_alert_checker,
        no_email_faults,
        webhook,
    } = alerts;
    let text = |name: &'static str, value: &Option<String>| {
        value.as_ref().map(|value| (name, string(value)))
    };
    let words = |name: &'static str, all: &[String]| {
        (!all.is_empty()).then(|| (name, list(all.iter().map(|one| string(one)))))
    };
    let mut all = Vec::new();
    all.extend(text("script_user", script_user));
    all.extend(text("script_group", script_group));
    let runs = |name: &'static str, value: &Option<Script>| {
        value.as_ref().map(|value| (name, script(value)))
    };
    all.extend(text("notify_fifo", notify_fifo));
    all.extend(runs("notify_fifo_script", notify_fifo_script));
    all.extend(text("vrrp_notify_fifo", vrrp_notify_fifo));
    all.extend(runs("vrrp_notify_fifo_script", vrrp_notify_fifo_script));
    all.extend(text("lvs_notify_fifo", lvs_notify_fifo));
    all.extend(runs("lvs_notify_fifo_script", lvs_notify_fifo_script));
    all.extend(words("notification_email", notification_email));
    all.extend(text("notification_email_from", notification_email_from));
    let server = smtp_server.as_ref().map(|one| string(&mail::write_server(one)));
    all.extend(server.map(|server| ("smtp_server", server)));
    let timeout = smtp_connect_timeout_ms.map(|timeout| timeout.to_string());
    all.extend(timeout.map(|timeout| ("smtp_connect_timeout_ms", timeout)));
    all.extend(text("smtp_helo_name", smtp_helo_name));
    all.extend(smtp_alert.then(|| ("smtp_alert", "true".to_owned())));
    all.extend(smtp_alert_checker.map(|alert| ("smtp_alert_checker", alert.to_string())));
    all.extend(no_email_faults.then(|| ("no_email_faults", "true".to_owned())));
    all.extend(words("webhook", webhook));
    all
}
