//! Mail, with keepalived's subjects, by way of a relay that is spoken to in plain SMTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Alerts, Global, SmtpServer};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::Instant;

use super::news::{Field, Key, Lasting, Letter, News, is_known};
use super::queue::Queue;

/// As with keepalived, where `smtp_connect_timeout` says nothing.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// `smtp_connect_timeout` is for each step of a delivery, with keepalived; here, for all of them
/// together: the name, the connection, the greeting, EHLO, MAIL, RCPT, DATA, the mail.
const STEPS: u32 = 8;

/// From the change until a mail about it is given up: its news is old then.
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// From one try to the next: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A mail and its way.
pub(super) struct Mail {
    subject: String,
    message: Message,
    server: SmtpServer,
    connect_within: Duration,
    helo: Option<String>,
    until: Instant,
}

#[cfg(test)]
impl Mail {
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }
}

#[derive(Debug, thiserror::Error)]
enum MailError {
    #[error("`{0}` is no mail address: {1}")]
    Address(String, lettre::address::AddressError),
    #[error("the mail can't be written: {0}")]
    Message(#[from] lettre::error::Error),
    #[error("{0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("the relay did not take it within {0:?}")]
    Silent(Duration),
}

/// The state that was mailed last: none is mailed twice in a row.
#[derive(Default)]
pub(super) struct Mailed {
    last: BTreeMap<Key, &'static str>,
    /// Nothing is remembered of others. None: all that there is.
    keys: Option<Arc<BTreeSet<Key>>>,
}

impl Mailed {
    /// The mail about it, if somebody wants one.
    pub(super) fn compose(&mut self, news: &News, global: &Global) -> Option<Mail> {
        let alerts = &global.alerts;
        let Some(letter) = news.mail.as_ref() else {
            // Of a real server or quorum, the way back is mailed, if that is wanted then.
            if news.key.field() == Field::Lvs {
                self.last.remove(&news.key);
            }
            return None;
        };
        let server = alerts.smtp_server.clone()?;
        if alerts.notification_email.is_empty() {
            return None;
        }
        let last = match news.lasting {
            Lasting::Last => self.last.remove(&news.key),
            // What left the configuration before its news came is told of, and forgotten.
            Lasting::State | Lasting::Moment if !is_known(self.keys.as_deref(), &news.key) => {
                self.last.remove(&news.key)
            }
            Lasting::State | Lasting::Moment => self.last.insert(news.key.clone(), news.state),
        };
        if last == Some(news.state) {
            return None;
        }
        let router = global.router_id.get(&news.node).unwrap_or(&news.node);
        let subject = format!("[{router}] {}", letter.subject);
        let message = match write(&subject, letter, &news.node, alerts) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!("no mail `{subject}`: {error}");
                return None;
            }
        };
        let connect = alerts.smtp_connect_timeout_ms;
        Some(Mail {
            subject,
            message,
            server,
            connect_within: connect
                .map_or(CONNECT_WITHIN, |ms| Duration::from_millis(u64::from(ms))),
            helo: alerts.smtp_helo_name.clone(),
            until: Instant::now() + GIVE_UP_AFTER,
        })
    }

    /// Forgets what there can be no more news of.
    pub(super) fn retain(&mut self, keys: &Arc<BTreeSet<Key>>) {
        self.last.retain(|key, _| keys.contains(key));
        self.keys = Some(keys.clone());
    }
}

fn write(
    subject: &str,
    letter: &Letter,
    node: &str,
    alerts: &Alerts,
) -> Result<Message, MailError> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>().map_err(|error| MailError::Address(text.to_owned(), error))
    };
    let own = format!("leasehold@{node}");
    let mut message = Message::builder()
        .from(mailbox(alerts.notification_email_from.as_deref().unwrap_or(&own))?)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN)
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("X-Mailer"),
            "Leasehold".to_owned(),
        ));
    for to in &alerts.notification_email {
        message = message.to(mailbox(to)?);
    }
    Ok(message.body(letter.body.clone())?)
}

/// Delivers one after the other, until there are no more.
pub(super) async fn run(mails: Arc<Queue<Mail>>) {
    while let Some(mail) = mails.pop().await {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = deliver(&mail).await {
            let refused = matches!(&error, MailError::Smtp(error) if error.is_permanent());
            if refused || Instant::now() + pause > mail.until {
                tracing::warn!("the mail `{}` is given up: {error}", mail.subject);
                break;
            }
            tracing::debug!(%error, "mail `{}` is tried again in {pause:?}", mail.subject);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn deliver(mail: &Mail) -> Result<(), MailError> {
    let (host, port) = match &mail.server {
        SmtpServer::Address(address) => (address.ip().to_string(), address.port()),
        SmtpServer::Name { host, port } => (host.clone(), *port),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .timeout(Some(mail.connect_within));
    if let Some(helo) = &mail.helo {
        builder = builder.hello_name(ClientId::Domain(helo.clone()));
    }
    let limit = mail.connect_within * STEPS;
    let sent = tokio::time::timeout(limit, builder.build().send(mail.message.clone())).await;
    sent.map_err(|_| MailError::Silent(limit))??;
    Ok(())
}
