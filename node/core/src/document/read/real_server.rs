//! `[[virtual_server.real_server]]`, but for its checks.

use leasehold_model::RealServer;

use super::virtual_server::UNREAD;
use super::{At, Reader};

impl Reader<'_> {
    pub(super) fn real_servers(&mut self, server: &At<'_, '_>) -> Vec<RealServer> {
        let mut all = Vec::new();
        for (index, span, table) in self.tables(server, "real_server") {
            let mut path = server.path_to("real_server");
            path.push(&index);
            let at = At { table, span, path };
            all.push(self.real_server(&at));
        }
        all
    }

    fn real_server(&mut self, at: &At<'_, '_>) -> RealServer {
        let known = [
            "address",
            "weight",
            "lb_kind",
            "uthreshold",
            "lthreshold",
            "inhibit_on_failure",
            "alpha",
            "virtualhost",
            "notify_up",
            "notify_down",
            "smtp_alert",
            "check",
        ];
        self.known(at, "a real server", &known);
        self.required(at, &["address"]);
        let mut real = RealServer::new(self.socket(at, "address").unwrap_or(UNREAD));
        let any = i64::from(u32::MAX);
        real.weight = self.integer(at, "weight", 0..=65535).unwrap_or(1);
        real.lb_kind = self.forward(at, "lb_kind");
        real.uthreshold = self.integer(at, "uthreshold", 0..=any).unwrap_or(0);
        real.lthreshold = self.integer(at, "lthreshold", 0..=any).unwrap_or(0);
        real.inhibit_on_failure = self.boolean(at, "inhibit_on_failure").unwrap_or(false);
        real.alpha = self.boolean(at, "alpha").unwrap_or(false);
        real.virtualhost = self.owned(at, "virtualhost");
        real.notify_up = self.script(at, "notify_up");
        real.notify_down = self.script(at, "notify_down");
        real.smtp_alert = self.boolean(at, "smtp_alert");
        real.checks = self.checks(at);
        real
    }
}
