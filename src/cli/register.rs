//! `qontak-receiver register`: registers the webhook URL at Qontak.

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;

use super::output::print_line;
use crate::config::{Config, HookEvent, Qontak, WebhookUrl};
use crate::qontak::hook::{CATEGORIES, DASHBOARD_ONLY, Hooks, Problem, masked};
use crate::qontak::register::{RegisterError, Registration};
use crate::qontak::{Client, Error, Transport};
use crate::store;

/// Exit codes, as documented at the command.
const REFUSED: u8 = 1;
const CREDENTIALS: u8 = 3;
const UNAVAILABLE: u8 = 4;
const NOT_AS_EXPECTED: u8 = 5;
const WOULD_CHANGE: u8 = 6;

/// Arguments of `register`.
#[derive(Args)]
pub struct Arguments {
    /// Name of the organisation in the settings [default: the only one]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Public URL of an endpoint: https://host/webhooks/qontak/TOKEN [default: its webhook_url]
    #[arg(long)]
    // Text, because clap would quote an invalid value with its token.
    url: Option<String>,
    /// Events to switch on, separated by commas [default: its events]
    #[arg(long, value_delimiter = ',', value_parser = event)]
    events: Vec<HookEvent>,
    /// Only print what would change
    #[arg(long)]
    dry_run: bool,
    /// URL to remove after the registration of the new one, when a token is replaced
    #[arg(long, value_name = "OLD")]
    remove: Option<String>,
}

fn event(word: &str) -> Result<HookEvent, String> {
    HookEvent::try_from(word.to_owned())
}

/// Registers, and prints what was done and what is left to do.
pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (name, settings) = organization(config, arguments.organization.as_deref())?;
    let url = parse("--url", arguments.url.as_deref())?;
    let url = url.as_ref().or(settings.webhook_url.as_ref());
    let url = url.with_context(|| format!("qontak.{name}.webhook_url: not set; or pass --url"))?;
    let remove = parse("--remove", arguments.remove.as_deref())?;
    if let Some(old) = &remove {
        ensure!(old.expose() != url.expose(), "--remove: is the URL to register");
    }
    let events = if arguments.events.is_empty() { &settings.events } else { &arguments.events };
    let client = Client::new(name, settings, config, store::connect(&config.database)?);
    let registration = Registration { client: &client, url, events };
    print_line(format_args!("organization  {name}\nurl           {}", masked(url.expose())));
    match register(&registration, remove.as_ref(), arguments.dry_run).await {
        Ok(code) => {
            if settings.webhook_url.as_ref().is_none_or(|it| it.expose() != url.expose()) {
                print_line(format_args!(
                    "To have it watched, set qontak.{name}.webhook_url to the URL."
                ));
            }
            Ok(ExitCode::from(code))
        }
        Err(error) => {
            eprintln!("qontak-receiver: {error}");
            Ok(ExitCode::from(code(&error)))
        }
    }
}

fn parse(name: &str, url: Option<&str>) -> anyhow::Result<Option<WebhookUrl>> {
    let parse =
        |url: &str| url.parse::<WebhookUrl>().map_err(|expected| anyhow!("{name}: {expected}"));
    url.map(parse).transpose()
}

/// The organisation of this name in the settings; without a name, the only one.
pub fn organization<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> anyhow::Result<(&'a str, &'a Qontak)> {
    let names = || config.qontak.keys().cloned().collect::<Vec<_>>().join(", ");
    let found = match (name, config.qontak.len()) {
        (_, 0) => bail!("qontak: no organisation is set; set MEKARI_API_CLIENT_ID and _SECRET"),
        (Some(name), _) => config.qontak.get_key_value(name),
        (None, 1) => config.qontak.first_key_value(),
        (None, _) => None,
    };
    let found = found.with_context(|| format!("--organization: expected one of {}", names()))?;
    Ok((found.0, found.1))
}

async fn register(
    registration: &Registration<'_>,
    remove: Option<&WebhookUrl>,
    is_dry_run: bool,
) -> Result<u8, RegisterError> {
    let before = registration.prepare(&Transport::default()).await?;
    let outdated = registration.outdated(&before);
    if is_dry_run {
        let names = outdated.iter().map(|category| category.name).collect::<Vec<_>>();
        print_changes("would change", &names);
        print_hooks(&before, registration, remove);
        let is_same = outdated.is_empty() && !has(&before, remove);
        return Ok(if is_same { 0 } else { WOULD_CHANGE });
    }
    let mut report = registration.run(&before).await?;
    print_changes("changed", &report.changed);
    let is_registered = is_as_expected(&report.hooks, registration);
    if let Some(old) = remove.filter(|_| is_registered) {
        report = registration.remove(old, &report.hooks).await?;
        print_changes("removed from", &report.changed);
    }
    print_hooks(&report.hooks, registration, None);
    let is_removed = !has(&report.hooks, remove);
    if is_removed && is_as_expected(&report.hooks, registration) {
        Ok(0)
    } else {
        print_line(format_args!("The settings are not as expected; see above."));
        Ok(NOT_AS_EXPECTED)
    }
}

fn has(hooks: &Hooks, url: Option<&WebhookUrl>) -> bool {
    let has = |url: &WebhookUrl| CATEGORIES.iter().any(|it| hooks.count(*it, url.expose()) > 0);
    url.is_some_and(has)
}

fn is_as_expected(hooks: &Hooks, registration: &Registration<'_>) -> bool {
    hooks.assess(registration.url, registration.events).iter().all(|it| it.problem.is_none())
}

fn print_changes(what: &str, categories: &[&str]) {
    let names = if categories.is_empty() { "nothing".to_owned() } else { categories.join(", ") };
    print_line(format_args!("{what:<14}{names}"));
}

/// Prints all settings: one line per event and per URL of somebody else.
fn print_hooks(hooks: &Hooks, registration: &Registration<'_>, old: Option<&WebhookUrl>) {
    for it in hooks.assess(registration.url, registration.events) {
        let state = if it.is_enabled { "on" } else { "off" };
        let problem = match it.problem {
            Some(Problem::Off) => "  FAIL: off",
            Some(Problem::UrlMissing) => "  FAIL: the URL is not registered",
            Some(Problem::UrlTwice) => {
                "  FAIL: the URL is registered twice; remove one in Qontak's dashboard"
            }
            None => "",
        };
        print_line(format_args!("  {:<30}{state}{problem}", it.event.as_str()));
    }
    for category in CATEGORIES {
        if !hooks.has(category) {
            print_line(format_args!("  {:<30}cannot be read back", category.name));
        }
        for other in hooks.others(category, registration.url.expose()) {
            let is_old = old.is_some_and(|old| old.expose() == other);
            let note = if is_old { "to be removed" } else { "also receives" };
            print_line(format_args!("  {note} {}: {}", category.name, masked(other)));
        }
    }
    let events = DASHBOARD_ONLY.join(", ");
    print_line(format_args!("Only Qontak's dashboard can switch on: {events}"));
}

fn code(error: &RegisterError) -> u8 {
    match error {
        RegisterError::Preflight(_) => REFUSED,
        RegisterError::Verify(_) => NOT_AS_EXPECTED,
        RegisterError::Write { changed, .. } if !changed.is_empty() => NOT_AS_EXPECTED,
        RegisterError::Read(error) | RegisterError::Write { error, .. } => code_of_call(error),
    }
}

/// Exit code of a failed call.
pub fn code_of_call(error: &Error) -> u8 {
    if error.is_about_credentials() {
        CREDENTIALS
    } else if error.is_temporary() {
        UNAVAILABLE
    } else {
        REFUSED
    }
}
