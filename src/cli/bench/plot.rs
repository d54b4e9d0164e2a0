//! Line plots of figures, as SVG.

use std::path::Path;

use anyhow::Context;
use plotters::prelude::*;

/// A plot of lines; both axes start at zero.
pub(super) struct LinePlot {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) lines: Vec<PlotSeries>,
    /// Position of the legend, where it hides no line.
    pub(super) legend_position: SeriesLabelPosition,
}

/// One line: its points, in order.
pub(super) struct PlotSeries {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Text beside each point; empty for no text.
    pub(super) labels: Vec<String>,
}

const SIZE_PX: (u32, u32) = (800, 480);

/// Colours that also differ in lightness (Okabe and Ito).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(110, 110, 110),
    RGBColor(204, 121, 167),
];

impl LinePlot {
    /// Draws the plot into an SVG file.
    pub(super) fn write_svg(&self, path: &Path) -> anyhow::Result<()> {
        let name = path.display();
        self.draw(path)
            .with_context(|| format!("cannot draw {name}"))
    }

    fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let max_of = |values: &mut dyn Iterator<Item = f64>| values.fold(1.0, f64::max) * 1.05;
        let (right, top) = (
            max_of(&mut points().map(|point| point.0)),
            max_of(&mut points().map(|point| point.1)),
        );
        let area = SVGBackend::new(path, SIZE_PX).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let drawn = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(drawn.point_size(3))?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            let beside = line.points.iter().zip(&line.labels);
            chart.draw_series(beside.map(|(&point, label)| {
                EmptyElement::at(point) + Text::new(label.clone(), (6, 4), ("sans-serif", 12))
            }))?;
        }
        chart
            .configure_series_labels()
            .position(self.legend_position.clone())
            .background_style(WHITE.mix(0.8))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
