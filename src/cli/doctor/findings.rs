//! Findings of the doctor: a verdict and advice, for people and for programs. Pure: no I/O.

use std::fmt;

use serde::Serialize;

use crate::cli::env_sources::{ConfigWarning, SettingOrigin, SettingSource};

/// Verdict of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckVerdict {
    /// Works as it should.
    Ok,
    /// Works, or will work, but not as well as it could.
    Warning,
    /// Does not work.
    Failure,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Checked part of the server, in one or two words.
    pub(crate) part: &'static str,
    pub(crate) verdict: CheckVerdict,
    /// State that was found, for people.
    pub(crate) found: String,
    /// Advice, for people; set unless the verdict is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// Creates a finding about something that works.
    pub(crate) fn ok(part: &'static str, found: impl Into<String>) -> Self {
        Self {
            part,
            verdict: CheckVerdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    /// Creates a finding about something that works, but not as well as it could.
    pub(crate) fn warning(
        part: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: CheckVerdict::Warning,
            advice: Some(advice.into()),
            ..Self::ok(part, found)
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.verdict == CheckVerdict::Ok
    }

    /// Creates a finding about something that does not work.
    pub(crate) fn failure(
        part: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: CheckVerdict::Failure,
            ..Self::warning(part, found, advice)
        }
    }

    /// Creates a finding from the text of an error that ends with advice, as this project's errors do. The
    /// advice starts after the first "; ", otherwise after the last ": ".
    pub(crate) fn from_error(part: &'static str, verdict: CheckVerdict, error: &str) -> Self {
        let (found, advice) = match error.split_once("; ").or_else(|| error.rsplit_once(": ")) {
            Some(parts) => parts,
            None => (error, "see .deploy/README.md"),
        };
        Self {
            verdict,
            ..Self::failure(part, found, advice)
        }
    }
}

/// Formats a finding for a terminal; the advice is on a line of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            CheckVerdict::Ok => "ok",
            CheckVerdict::Warning => "warning",
            CheckVerdict::Failure => "FAILURE",
        };
        write!(f, "{:<15} {verdict:<8} {}", self.part, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:<24} → {advice}", ""),
            None => Ok(()),
        }
    }
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DoctorReport {
    /// Whether no check failed.
    pub(crate) well: bool,
    /// Every setting with its source, without its value.
    pub(crate) settings: Vec<SettingOrigin>,
    /// Findings in the order of the checks.
    pub(crate) findings: Vec<Finding>,
}

impl DoctorReport {
    pub(crate) fn new(settings: Vec<SettingOrigin>, findings: Vec<Finding>) -> Self {
        let well = findings
            .iter()
            .all(|finding| finding.verdict != CheckVerdict::Failure);
        Self {
            well,
            settings,
            findings,
        }
    }

    /// Returns the counts of problems, such as `2 failures, 1 warning`.
    pub(crate) fn summary(&self) -> String {
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|f| f.verdict == verdict)
                .count()
        };
        let text = |verdict, one: &str| match count(verdict) {
            0 => None,
            1 => Some(format!("1 {one}")),
            many => Some(format!("{many} {one}s")),
        };
        let text = [
            text(CheckVerdict::Failure, "failure"),
            text(CheckVerdict::Warning, "warning"),
        ];
        let text: Vec<String> = text.into_iter().flatten().collect();
        if text.is_empty() {
            "no problems found".to_owned()
        } else {
            text.join(", ")
        }
    }
}

/// Reports which settings are set and where, which names are unknown, and which settings contradict each
/// other.
pub(crate) fn settings_findings(
    settings: &[SettingOrigin],
    config_warnings: &[ConfigWarning],
    doubts: &[String],
) -> Vec<Finding> {
    const PART: &str = "settings";
    let sources = [
        (SettingSource::Flag, "set by flags"),
        (SettingSource::Environment, "set in the environment"),
        (SettingSource::EnvFile, "set in .env"),
        (SettingSource::Default, "at their defaults"),
        (SettingSource::Unset, "not set"),
    ];
    let mut findings = Vec::new();
    for (source, text) in sources {
        let from_source = settings.iter().filter(|setting| setting.source == source);
        let names: Vec<&str> = from_source.map(|setting| setting.name.as_str()).collect();
        if !names.is_empty() {
            findings.push(Finding::ok(PART, format!("{text}: {}", names.join(", "))));
        }
    }
    findings.extend(config_warnings.iter().map(|warning| match warning {
        ConfigWarning::UnknownName { .. } => {
            let advice = "correct or remove it; .env.example lists every name";
            Finding::warning(PART, warning.to_string(), advice)
        }
        ConfigWarning::Duplicate(_) | ConfigWarning::Overridden(_) => {
            Finding::warning(PART, warning.to_string(), "keep one of the two")
        }
        ConfigWarning::SecretFlag { .. } => {
            let text = warning.to_string();
            let found = text.split("; ").next().unwrap_or_default();
            Finding::warning(PART, found, warning.advice())
        }
    }));
    let warning_finding = |doubt: &String| Finding::from_error(PART, CheckVerdict::Warning, doubt);
    findings.extend(doubts.iter().map(warning_finding));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, source: SettingSource) -> SettingOrigin {
        let name = name.to_owned();
        SettingOrigin { name, source }
    }

    #[test]
    fn a_finding_stands_on_one_line_and_its_advice_below() {
        let finding = Finding::failure("port", "port 4000 is taken", "set PORT to another");
        let text = "port            FAILURE  port 4000 is taken\n                         → set PORT to another";
        assert_eq!(finding.to_string(), text);
        assert_eq!(
            Finding::ok("port", "free").to_string(),
            "port            ok       free"
        );
    }

    #[test]
    fn an_error_is_taken_apart_into_what_is_and_what_to_do() {
        for (error, found, advice) in [
            (
                "the model is not there; get it with: pull",
                "the model is not there",
                "get it with: pull",
            ),
            ("PORT is taken: set another", "PORT is taken", "set another"),
            ("broken", "broken", "see .deploy/README.md"),
        ] {
            let finding = Finding::from_error("x", CheckVerdict::Failure, error);
            assert_eq!(
                (finding.found.as_str(), finding.advice.as_deref()),
                (found, Some(advice))
            );
        }
    }

    #[test]
    fn warnings_leave_it_well_and_failures_do_not() {
        let report = |findings| DoctorReport::new(Vec::new(), findings);
        let fine = Finding::ok("a", "x");
        let warning = Finding::warning("a", "x", "y");
        let failure = Finding::failure("a", "x", "y");
        assert_eq!(report(vec![fine.clone()]).summary(), "no problems found");
        let some = report(vec![fine, warning.clone()]);
        assert!(
            some.well && some.summary() == "1 warning",
            "{}",
            some.summary()
        );
        let many = report(vec![failure.clone(), warning, failure]);
        assert!(
            !many.well && many.summary() == "2 failures, 1 warning",
            "{}",
            many.summary()
        );
    }

    #[test]
    fn settings_are_reported_by_source_and_without_values() {
        let settings = [
            setting("PORT", SettingSource::Environment),
            setting("MODEL", SettingSource::EnvFile),
            setting("TWILIO_AUTH_TOKEN", SettingSource::EnvFile),
            setting("HOST", SettingSource::Default),
        ];
        let unknown = ConfigWarning::UnknownName {
            name: "PROT".to_owned(),
            place: ".env",
            nearest_name: Some("PORT".to_owned()),
        };
        let doubts = ["ARCHIVE is on: for nothing".to_owned()];
        let text = settings_findings(&settings, &[unknown], &doubts);
        let text: Vec<(CheckVerdict, &str)> =
            text.iter().map(|f| (f.verdict, f.found.as_str())).collect();
        assert_eq!(
            text,
            [
                (CheckVerdict::Ok, "set in the environment: PORT"),
                (CheckVerdict::Ok, "set in .env: MODEL, TWILIO_AUTH_TOKEN"),
                (CheckVerdict::Ok, "at their defaults: HOST"),
                (
                    CheckVerdict::Warning,
                    "PROT in .env is not a setting of this server; did you mean PORT?"
                ),
                (CheckVerdict::Warning, "ARCHIVE is on"),
            ]
        );
    }

    #[test]
    fn the_json_is_for_programs() {
        let findings = vec![Finding::warning("port", "x", "y")];
        let report = DoctorReport::new(vec![setting("PORT", SettingSource::EnvFile)], findings);
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "well": true,
                "settings": [{ "name": "PORT", "source": "env-file" }],
                "findings": [
                    { "part": "port", "verdict": "warning", "found": "x", "advice": "y" }
                ],
            })
        );
    }
}
