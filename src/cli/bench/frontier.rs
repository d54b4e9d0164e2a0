//! `callburner bench frontier`: word error rate against compute time, one point for each model and mode.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plotters::chart::SeriesLabelPosition;
use serde::Serialize;

use super::{
    FinalsMode, OfflineMode, PathFigures, WORDS_HEADING, WordsArgs, plot, print_line,
    transcribe_folders, write_json,
};
use crate::config::EngineSettings;
use crate::eval::pareto::pareto_front;

/// Word error rate against compute time for each model and mode, as a table and a plot.
#[derive(Debug, clap::Args)]
pub(super) struct FrontierArgs {
    /// Folders with a `manifest.tsv` (columns: file, seconds, text, source, licence).
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Models, as for --model, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "tiny.en")]
    models: Vec<String>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Plot the figures into this SVG file.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineSettings,
}

/// Modes, each measured live and on whole recordings.
const METHODS: [(&str, FinalsMode, OfflineMode); 3] = [
    ("careful", FinalsMode::Accurate, OfflineMode::Accurate),
    ("hurried", FinalsMode::Fast, OfflineMode::Fast),
    (
        "whisper.cpp",
        FinalsMode::WhisperCpp,
        OfflineMode::WhisperCpp,
    ),
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FrontierPoint {
    model: String,
    way: &'static str,
    is_live: bool,
    is_best: bool,
    figures: PathFigures,
}

pub(super) fn run(args: &FrontierArgs) -> anyhow::Result<()> {
    let mut points = Vec::new();
    print_line(WORDS_HEADING)?;
    for model in &args.models {
        for (way, finals, offline) in METHODS {
            let (folders, _) = transcribe_folders(&WordsArgs {
                folders: args.folders.clone(),
                finals,
                offline,
                differences: false,
                calibration: false,
                loudness: false,
                json: None,
                engine: EngineSettings {
                    model: model.clone(),
                    ..args.engine.clone()
                },
            })?;
            let (mut live, mut whole) = (PathFigures::default(), PathFigures::default());
            for folder in &folders {
                live.merge(&folder.live);
                whole.merge(folder.offline.as_ref().unwrap_or(&PathFigures::default()));
            }
            for (is_live, mut figures) in [(true, live), (false, whole)] {
                figures.finish();
                points.push(FrontierPoint {
                    model: model.clone(),
                    way,
                    is_live,
                    is_best: false,
                    figures,
                });
            }
        }
    }
    let positions: Vec<(f64, f64)> = points.iter().map(FrontierPoint::wer_and_speed).collect();
    for (point, is_best) in points.iter_mut().zip(pareto_front(&positions)) {
        point.is_best = is_best;
    }
    print_line(&format_table(&points))?;
    if let Some(path) = &args.plot {
        plot_points(&points).write_svg(path)?;
    }
    write_json(args.json.as_deref(), &points)
}

impl FrontierPoint {
    /// Returns the word error rate as a fraction, and the speed in audio seconds per processor second.
    fn wer_and_speed(&self) -> (f64, f64) {
        let speed = 1.0 / self.figures.final_seconds_per_audio_second;
        (self.figures.wer.unwrap_or(0.0), speed)
    }

    fn input_name(&self) -> &'static str {
        if self.is_live { "live" } else { "whole" }
    }
}

/// Formats the points as a table. Ratios are relative to the speed of the first model's whisper.cpp on whole
/// recordings.
fn format_table(points: &[FrontierPoint]) -> String {
    let of = |point: &&FrontierPoint| point.way == "whisper.cpp" && !point.is_live;
    let base = points
        .iter()
        .find(of)
        .map_or(1.0, |point| point.wer_and_speed().1);
    let mut lines = vec![format!(
        "\n{:<12} {:<12} {:<6} {:>8} {:>12} {:>8} {:>7}  best",
        "model", "mode", "input", "WER", "wrong/words", "speed", "ratio"
    )];
    for point in points {
        let errors = point.figures.score.errors;
        let (wer, speed) = point.wer_and_speed();
        let wrong = format!("{}/{}", errors.total(), errors.reference_words());
        lines.push(format!(
            "{:<12} {:<12} {:<6} {:>6.2} % {wrong:>12} {speed:>7.1}× {:>6.1}×  {}",
            point.model,
            point.way,
            point.input_name(),
            100.0 * wer,
            speed / base,
            if point.is_best { "•" } else { "" }
        ));
    }
    lines.push(
        "\nspeed: audio seconds per processor second of one core that makes finals; ratio: to \
         whisper.cpp on whole recordings; best: no other point is at least as good in WER and \
         speed, and better in one"
            .to_owned(),
    );
    lines.join("\n")
}

fn plot_points(points: &[FrontierPoint]) -> plot::LinePlot {
    let mut sorted: Vec<&FrontierPoint> = points.iter().collect();
    sorted.sort_by(|a, b| a.wer_and_speed().1.total_cmp(&b.wer_and_speed().1));
    let mut groups: BTreeMap<String, Vec<&FrontierPoint>> = BTreeMap::new();
    for point in sorted {
        let name = format!("{}, {}", point.model, point.input_name());
        groups.entry(name).or_default().push(point);
    }
    let wer_and_speed =
        |point: &&FrontierPoint| (point.wer_and_speed().1, 100.0 * point.wer_and_speed().0);
    let lines = groups.into_iter().map(|(name, points)| plot::PlotSeries {
        name,
        points: points.iter().map(wer_and_speed).collect(),
        labels: points.iter().map(|point| point.way.to_owned()).collect(),
    });
    plot::LinePlot {
        title: "Word error rate against speed".to_owned(),
        x_label: "audio seconds per processor second of one core".to_owned(),
        y_label: "word error rate, %".to_owned(),
        legend_position: SeriesLabelPosition::LowerRight,
        lines: lines.collect(),
    }
}
