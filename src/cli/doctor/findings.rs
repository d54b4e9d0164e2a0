//! What the doctor found: good or bad, and what to do about it, for people and for programs.
//! Pure: no I/O.

use std::fmt;

use serde::Serialize;

use crate::cli::surroundings::{Oddity, Setting, Source};

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, or will, but not as well as it could.
    Warning,
    /// Something does not work.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The part of the server, in a word or two.
    pub(crate) part: &'static str,
    /// How good it is.
    pub(crate) verdict: Verdict,
    /// What is so.
    pub(crate) found: String,
    /// What to do about it; never missing where it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(part: &'static str, found: impl Into<String>) -> Self {
        Self {
            part,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    /// Not as good as it could be.
    pub(crate) fn warning(
        part: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Warning,
            advice: Some(advice.into()),
            ..Self::ok(part, found)
        }
    }

    /// Whether it is as it should be.
    pub(crate) fn is_ok(&self) -> bool {
        self.verdict == Verdict::Ok
    }

    /// Does not work.
    pub(crate) fn failure(
        part: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Failure,
            ..Self::warning(part, found, advice)
        }
    }

    /// An error that says itself what to do, as this house's errors do: its last clause.
    pub(crate) fn of_error(part: &'static str, verdict: Verdict, error: &str) -> Self {
        let (found, advice) = match error.split_once("; ").or_else(|| error.rsplit_once(": ")) {
            Some(parts) => parts,
            None => (error, "see the README"),
        };
        Self {
            verdict,
            ..Self::failure(part, found, advice)
        }
    }
}

/// As it stands on a terminal; what to do is on a line of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failure => "FAILURE",
        };
        write!(f, "{:<15} {verdict:<8} {}", self.part, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:<24} → {advice}", ""),
            None => Ok(()),
        }
    }
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether nothing fails.
    pub(crate) well: bool,
    /// Every setting, and where it comes from; never its value.
    pub(crate) settings: Vec<Setting>,
    /// In the order in which things were looked at.
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    /// Of these findings.
    pub(crate) fn new(settings: Vec<Setting>, findings: Vec<Finding>) -> Self {
        let well = findings
            .iter()
            .all(|finding| finding.verdict != Verdict::Failure);
        Self {
            well,
            settings,
            findings,
        }
    }

    /// `2 failures, 1 warning`.
    pub(crate) fn sum(&self) -> String {
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|f| f.verdict == verdict)
                .count()
        };
        let told = |verdict, one: &str| match count(verdict) {
            0 => None,
            1 => Some(format!("1 {one}")),
            many => Some(format!("{many} {one}s")),
        };
        let told = [
            told(Verdict::Failure, "failure"),
            told(Verdict::Warning, "warning"),
        ];
        let told: Vec<String> = told.into_iter().flatten().collect();
        if told.is_empty() {
            "all is well".to_owned()
        } else {
            told.join(", ")
        }
    }
}

/// What there is to say of the settings: which are set and from where, which names mean nothing,
/// and what contradicts itself.
pub(crate) fn of_settings(
    settings: &[Setting],
    oddities: &[Oddity],
    doubts: &[String],
) -> Vec<Finding> {
    const PART: &str = "settings";
    let places = [
        (Source::Flag, "set by flags"),
        (Source::Environment, "set in the environment"),
        (Source::EnvFile, "set in .env"),
        (Source::Default, "at their defaults"),
        (Source::Unset, "not set"),
    ];
    let mut findings = Vec::new();
    for (place, told) in places {
        let of_place = settings.iter().filter(|setting| setting.source == place);
        let names: Vec<&str> = of_place.map(|setting| setting.name.as_str()).collect();
        if !names.is_empty() {
            findings.push(Finding::ok(PART, format!("{told}: {}", names.join(", "))));
        }
    }
    findings.extend(oddities.iter().map(|oddity| match oddity {
        Oddity::Unknown { .. } => {
            let advice = "correct or remove it; .env.example has every name";
            Finding::warning(PART, oddity.to_string(), advice)
        }
        Oddity::Twice(_) | Oddity::Overruled(_) => {
            Finding::warning(PART, oddity.to_string(), "keep one of the two")
        }
        Oddity::SecretFlag { .. } => {
            let told = oddity.to_string();
            let found = told.split("; ").next().unwrap_or_default();
            Finding::warning(PART, found, oddity.instead())
        }
    }));
    let of_doubt = |doubt: &String| Finding::of_error(PART, Verdict::Warning, doubt);
    findings.extend(doubts.iter().map(of_doubt));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, source: Source) -> Setting {
        let name = name.to_owned();
        Setting { name, source }
    }

    #[test]
    fn a_finding_stands_on_one_line_and_its_advice_below() {
        let finding = Finding::failure("port", "port 4000 is taken", "set PORT to another");
        let told = "port            FAILURE  port 4000 is taken\n                         → set PORT to another";
        assert_eq!(finding.to_string(), told);
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
            ("broken", "broken", "see the README"),
        ] {
            let finding = Finding::of_error("x", Verdict::Failure, error);
            assert_eq!(
                (finding.found.as_str(), finding.advice.as_deref()),
                (found, Some(advice))
            );
        }
    }

    #[test]
    fn warnings_leave_it_well_and_failures_do_not() {
        let report = |findings| Report::new(Vec::new(), findings);
        let fine = Finding::ok("a", "x");
        let warning = Finding::warning("a", "x", "y");
        let failure = Finding::failure("a", "x", "y");
        assert_eq!(report(vec![fine.clone()]).sum(), "all is well");
        let some = report(vec![fine, warning.clone()]);
        assert!(some.well && some.sum() == "1 warning", "{}", some.sum());
        let many = report(vec![failure.clone(), warning, failure]);
        assert!(
            !many.well && many.sum() == "2 failures, 1 warning",
            "{}",
            many.sum()
        );
    }

    #[test]
    fn settings_are_told_by_their_place_and_without_values() {
        let settings = [
            setting("PORT", Source::Environment),
            setting("MODEL", Source::EnvFile),
            setting("TWILIO_AUTH_TOKEN", Source::EnvFile),
            setting("HOST", Source::Default),
        ];
        let unknown = Oddity::Unknown {
            name: "PROT".to_owned(),
            place: ".env",
            nearest: Some("PORT".to_owned()),
        };
        let doubts = ["ARCHIVE is on: for nothing".to_owned()];
        let told = of_settings(&settings, &[unknown], &doubts);
        let told: Vec<(Verdict, &str)> =
            told.iter().map(|f| (f.verdict, f.found.as_str())).collect();
        assert_eq!(
            told,
            [
                (Verdict::Ok, "set in the environment: PORT"),
                (Verdict::Ok, "set in .env: MODEL, TWILIO_AUTH_TOKEN"),
                (Verdict::Ok, "at their defaults: HOST"),
                (
                    Verdict::Warning,
                    "PROT in .env is no setting of this server; did you mean PORT?"
                ),
                (Verdict::Warning, "ARCHIVE is on"),
            ]
        );
    }

    #[test]
    fn the_json_is_for_programs() {
        let findings = vec![Finding::warning("port", "x", "y")];
        let report = Report::new(vec![setting("PORT", Source::EnvFile)], findings);
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
