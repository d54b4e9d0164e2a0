//! `callburner doctor`: checks everything that the server needs, and reports advice about each problem.
//!
//! ```text
//! findings      results, for people and for programs (pure)
//! machine       model, speed, data folder, database
//! connectivity  the port; the way from the public address to it; WebSockets through proxies
//! account       signatures, the clock, and the set-up at Twilio
//! ```

pub(crate) mod account;
pub(crate) mod connectivity;
pub(crate) mod findings;
mod machine;

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::bail;
use secrecy::ExposeSecret;

use self::connectivity::PortOwner;
use self::findings::{CheckVerdict, DoctorReport, Finding, settings_findings};
use super::env_sources::{ConfigWarning, SettingOrigin};
use crate::access::proxies::TrustedProxies;
use crate::config::{ConfigError, EndpointConfig, ServerSettings, TwilioConfig};
use crate::tasks::Tasks;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::SigningKey;

/// Check everything that the server needs, and print what to do about each problem.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    settings: ServerSettings,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Create nothing: neither the data folder nor the database, which the server would create at its start.
    #[arg(long)]
    fix_nothing: bool,
}

/// Input of the checks: plain values.
#[derive(Debug)]
pub(crate) struct DoctorInput {
    /// Settings as the server would use them.
    pub(crate) settings: ServerSettings,
    /// Every setting with its source.
    pub(crate) sources: Vec<SettingOrigin>,
    /// Names that set nothing, or do not take effect as expected.
    pub(crate) config_warnings: Vec<ConfigWarning>,
    /// Whether the checks may create nothing.
    pub(crate) fix_nothing: bool,
}

pub(super) async fn run(
    args: DoctorArgs,
    sources: Vec<SettingOrigin>,
    config_warnings: Vec<ConfigWarning>,
) -> anyhow::Result<()> {
    let input = DoctorInput {
        settings: args.settings,
        sources,
        config_warnings,
        fix_nothing: args.fix_nothing,
    };
    let mut out = io::stdout();
    let mut show = |finding: &Finding| {
        if args.json {
            return Ok(());
        }
        writeln!(out, "{finding}")
    };
    let report = run_checks(input, &mut show).await?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(io::stdout(), "\n{}", report.summary())?;
    }
    if !report.well {
        bail!("some checks failed: see above");
    }
    Ok(())
}

/// Runs all checks and shows each finding as it is made. An error if a check cannot run at all.
pub(crate) async fn run_checks(
    input: DoctorInput,
    show: &mut dyn FnMut(&Finding) -> io::Result<()>,
) -> anyhow::Result<DoctorReport> {
    let settings = input.settings;
    let mut findings = Vec::new();
    let mut add = |found: Vec<Finding>| -> io::Result<()> {
        found.iter().try_for_each(&mut *show)?;
        findings.extend(found);
        Ok(())
    };
    add(settings_findings(
        &input.sources,
        &input.config_warnings,
        &settings.warnings(),
    ))?;
    let checked = settings.validate();
    let is_public = settings.public_base_url.is_some();
    add(combination_findings(
        checked.as_ref().map(|config| config.twilio.as_ref()),
        is_public,
    ))?;

    let engine = settings.engine.clone();
    add(tokio::task::spawn_blocking(move || machine::check_model(&engine)).await?)?;
    let data = &settings.calls.data;
    add(machine::check_data_folder(data, input.fix_nothing))?;
    add(machine::check_permissions(data))?;
    add(machine::check_database(data, is_public, input.fix_nothing).await)?;

    // Settings that contradict each other can be valid separately.
    let twilio = match &checked {
        Ok(config) => config.twilio.clone(),
        Err(_) => settings.twilio.validate().ok().flatten(),
    };
    let endpoint = checked.map_or_else(|_| unchecked_endpoint(&settings), |config| config.endpoint);
    let proxies = &settings.trusted_proxies;
    add(check_connectivity(&endpoint, proxies, twilio.as_ref()).await?)?;
    if let Some(twilio) = &twilio {
        add(account::check_account(twilio, &endpoint).await)?;
    }
    Ok(DoctorReport::new(input.sources, findings))
}

/// Reports whether the settings are consistent, and which are missing.
fn combination_findings(
    checked: Result<Option<&TwilioConfig>, &ConfigError>,
    is_public: bool,
) -> Vec<Finding> {
    const PART: &str = "settings";
    match checked {
        Err(error) => vec![Finding::from_error(
            PART,
            CheckVerdict::Failure,
            &error.to_string(),
        )],
        Ok(None) => vec![Finding::warning(
            PART,
            if is_public {
                "no Twilio account is set: calls cannot be placed, and every webhook and media stream \
                 is refused"
            } else {
                "no Twilio account is set: calls cannot be placed, and only this machine can \
                 connect"
            },
            "set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL, then run callburner \
             setup",
        )],
        Ok(Some(twilio)) => {
            let missing = twilio.missing_settings().into_iter();
            let missing = missing.map(|name| {
                let found = format!("{name} is not set: browsers cannot place calls");
                Finding::failure(PART, found, "run callburner setup, or set it by hand")
            });
            std::iter::once(Finding::ok(PART, "they are consistent"))
                .chain(missing)
                .collect()
        }
    }
}

/// Returns the endpoint of settings that are not consistent.
fn unchecked_endpoint(settings: &ServerSettings) -> EndpointConfig {
    let mut endpoint = EndpointConfig::local(SocketAddr::new(settings.host, settings.port));
    if let Some(base) = &settings.public_base_url
        && let Ok(url) = PublicUrl::parse(&base.to_string())
    {
        endpoint.public_base_url = Some(base.clone());
        endpoint.public_url = url;
    }
    endpoint
}

async fn check_connectivity(
    endpoint: &EndpointConfig,
    proxies: &TrustedProxies,
    twilio: Option<&TwilioConfig>,
) -> anyhow::Result<Vec<Finding>> {
    let client = connectivity::http_client()?;
    let tasks = Tasks::default();
    let (port, port_owner) =
        connectivity::check_port(&client, endpoint.address, proxies, &tasks).await;
    let mut findings = vec![port];
    let key = twilio.map(|twilio| SigningKey::auth_token(twilio.auth_token.expose_secret()));
    if endpoint.public_base_url.is_some() {
        let url = &endpoint.public_url;
        findings.extend(
            connectivity::check_public_address(&client, url, key.as_ref(), &port_owner).await,
        );
        let passes =
            |finding: &Finding| finding.part == connectivity::WEBSOCKETS_PART && finding.is_ok();
        if let Some(key) = key.as_ref().filter(|_| findings.iter().any(passes)) {
            findings.extend(connectivity::check_idle_socket(&client, url, key).await);
        }
    }
    if let (Some(key), true) = (&key, endpoint.keyring.is_some()) {
        findings.push(account::check_signature(endpoint, key));
    }
    if let PortOwner::Stub(_) = port_owner {
        tasks.stop();
    }
    Ok(findings)
}
