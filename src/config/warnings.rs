//! Warnings about settings that are valid but probably not intended: each is a sentence for the log and for
//! `callburner doctor`. Pure: no I/O.

use super::{ServerSettings, TranscriptionSource};

impl ServerSettings {
    /// Returns the settings that contradict each other or have no effect.
    pub fn warnings(&self) -> Vec<String> {
        let calls = &self.calls;
        let has_account = self.twilio.twilio_account_sid.is_some();
        let is_public = self.public_base_url.is_some();
        let hears = calls.transcription_source == TranscriptionSource::Whisper;
        // `tiny.en`, `small.en-q5_1`, `models/ggml-base.en.bin`.
        let is_english = self.engine.model.split(['.', '-']).any(|part| part == "en");
        let all = [
            (
                self.public_base_url
                    .as_ref()
                    .is_some_and(super::is_insecure_url),
                "PUBLIC_BASE_URL starts with http://, so passwords and transcripts are not \
                 encrypted in transit, and Twilio sends audio only to https://; use https://",
            ),
            (
                is_public && self.host.is_loopback() && self.trusted_proxies.is_empty(),
                "PUBLIC_BASE_URL is set, but TRUSTED_PROXIES is not, so all users share the \
                 proxy's address and one limit for sign-ins; set it to the proxy's address, such \
                 as 127.0.0.1",
            ),
            (
                has_account && calls.simulate_transcription == Some(true),
                "SIMULATE_TRANSCRIPTION has no effect with a Twilio account, because calls are \
                 real; remove it",
            ),
            (
                hears && is_english && !["en", "auto"].contains(&self.engine.language.as_str()),
                "MODEL supports only English, but LANGUAGE is another: use the model without .en",
            ),
            (
                calls.archive && calls.transcription_source != TranscriptionSource::Whisper,
                "ARCHIVE is on, but without TRANSCRIPTION_SOURCE=whisper this server receives no \
                 audio; set it, or turn ARCHIVE off",
            ),
            (
                calls.calls_at_once_per_user_max > calls.calls_at_once_max,
                "CALLS_AT_ONCE_PER_USER_MAX has no effect, because it is above CALLS_AT_ONCE_MAX; \
                 lower it",
            ),
            (
                calls.data.database_url().contains(":memory:"),
                "DATABASE_URL is in memory, so calls, transcripts and users are lost when the \
                 server stops; name a file to keep them",
            ),
        ];
        let warnings = all.into_iter().filter(|(applies, _)| *applies);
        warnings.map(|(_, why)| why.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct TestCommand {
        #[command(flatten)]
        settings: ServerSettings,
    }

    fn warnings(arguments: &[&str]) -> Vec<String> {
        let arguments = std::iter::once(&"callburner").chain(arguments);
        TestCommand::try_parse_from(arguments)
            .unwrap()
            .settings
            .warnings()
    }

    #[test]
    fn nothing_is_doubtful_about_the_defaults_or_a_usual_set_up() {
        assert_eq!(warnings(&[]), Vec::<String>::new());
        let usual = [
            "--public-base-url=https://calls.example.org",
            "--trusted-proxies=127.0.0.1",
            "--twilio-account-sid=AC00000000000000000000000000000001",
            "--archive",
        ];
        assert_eq!(warnings(&usual), Vec::<String>::new());
        assert_eq!(
            warnings(&["--public-base-url=http://localhost:4000", "--host=::"]).len(),
            0
        );
    }

    #[test]
    fn each_contradiction_is_named_by_its_setting() {
        let account = "--twilio-account-sid=AC00000000000000000000000000000001";
        for (arguments, name) in [
            (
                &["--public-base-url=http://calls.example.org", "--host=::"][..],
                "PUBLIC_BASE_URL",
            ),
            (
                &["--public-base-url=https://calls.example.org"],
                "PUBLIC_BASE_URL",
            ),
            (
                &[account, "--simulate-transcription=true"],
                "SIMULATE_TRANSCRIPTION",
            ),
            (&["--language=fr"], "MODEL"),
            (&["--model=small.en-q5_1", "--language=fr"], "MODEL"),
            (&["--archive", "--transcription-source=off"], "ARCHIVE"),
            (&["--calls-at-once-max=1"], "CALLS_AT_ONCE_PER_USER_MAX"),
            (&["--database-url=sqlite::memory:"], "DATABASE_URL"),
        ] {
            let warnings = warnings(arguments);
            let [warning] = warnings.as_slice() else {
                panic!("{arguments:?}: {warnings:?}");
            };
            assert!(warning.starts_with(name), "{warning}");
        }
    }
}
