//! What is known of a metric: how it behaves, who exports it, and the values that its labels can have.

use std::borrow::Cow;

use metrics::Unit;

use crate::http::outcome::Class;
use crate::target::class::ErrorClass;
use crate::worker::Kind;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Only ever grows, until the process starts again.
    Counter,
    /// What is now.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

impl Shape {
    /// As Prometheus writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The values that a label can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Exactly these.
    Of(&'static [&'static str]),
    /// The classes of a target's errors.
    ErrorClasses,
    /// What came of HTTP requests.
    RequestClasses,
    /// The version of the program: one for each process.
    Version,
}

impl Values {
    /// All of them.
    #[must_use]
    pub fn all(self) -> Vec<&'static str> {
        match self {
            Self::Of(values) => values.to_vec(),
            Self::ErrorClasses => ErrorClass::ALL.into_iter().map(ErrorClass::code).collect(),
            Self::RequestClasses => Class::ALL.into_iter().map(|class| class.policy().code).collect(),
            Self::Version => vec![env!("CARGO_PKG_VERSION")],
        }
    }

    /// For the table of the documentation.
    #[must_use]
    pub fn describe(self) -> Cow<'static, str> {
        match self {
            Self::Of(values) => values.join(", ").into(),
            Self::ErrorClasses => "the class of the error, as in `target list`".into(),
            Self::RequestClasses => "what came of it, as in `request list`".into(),
            Self::Version => "the program's version".into(),
        }
    }
}

/// A label and its values.
pub type Label = (&'static str, Values);

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; a unit of seconds is its last part, `_total` that of a counter.
    pub name: &'static str,
    /// How it behaves.
    pub shape: Shape,
    /// Which programs export it.
    pub by: &'static [Kind],
    /// Its labels.
    pub labels: &'static [Label],
    /// What it is, in one sentence.
    pub help: &'static str,
}

impl Metric {
    pub(in crate::worker) fn unit(&self) -> Unit {
        if self.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count }
    }

    /// Every combination of its labels' values.
    #[must_use]
    pub fn series(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut all = vec![Vec::new()];
        for (name, values) in self.labels {
            all = all
                .iter()
                .flat_map(|known| {
                    values.all().into_iter().map(|value| {
                        let mut labels = known.clone();
                        labels.push((*name, value));
                        labels
                    })
                })
                .collect();
        }
        all
    }
}
